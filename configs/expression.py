"""Which expression values are meant, and what they hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cellstrata.configs.values import Switch, Text, refuse


class ExpressionConfig(BaseModel):
    """X, a layer or the X of `raw`: counts or logarithms."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    layer: Text | None = Field(None, description="Layer that has the expression. Default: `X`.")
    raw: Switch = Field(False, description="true: the expression is that in `raw`.")
    normalize: Switch = Field(
        False, description="true: the values are counts, to be brought to 10,000 a cell and to log1p; false: they are."
    )

    @property
    def element(self) -> str:
        """The path of the values in a file."""
        return "raw/X" if self.raw else "X" if self.layer is None else f"layers/{self.layer}"

    @model_validator(mode="after")
    def _one_source(self) -> ExpressionConfig:
        if self.layer is not None and self.raw:
            raise refuse("names `layer` and `raw`, and there is one expression", "leave one of the two out")
        return self
