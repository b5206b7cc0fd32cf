"""Which marker genes are looked for, and where the expression that they are looked for in is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from cellstrata.configs.errors import did_you_mean, one_of, shown
from cellstrata.configs.values import Count, CountFromZero, Switch, Text, each_once, one_word_of, refuse

METHODS = ("t-test", "t-test_overestim_var", "wilcoxon")
AGAINST = ("sisters", "all")

_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _against(value: object) -> object:
    def known(word: object) -> str:
        if isinstance(word, str) and word in AGAINST:
            return word
        raise refuse(f"must be {one_of(AGAINST)} (or a list of both), not {shown(word)}", did_you_mean(word, AGAINST))

    kept = each_once(value, known)
    if not kept:
        raise refuse("is an empty list", "write for example [sisters, all]")
    return kept


class MarkersConfig(BaseModel):
    """How marker genes are found, for every cluster of every column."""

    model_config = _STRICT

    method: Annotated[Literal["t-test", "t-test_overestim_var", "wilcoxon"], one_word_of(METHODS)] = Field(
        "t-test", description="The test, as scanpy names it."
    )
    n_genes: Count = Field(100, description="How many genes are kept for each cluster, those with the highest scores.")
    against: Annotated[list[Literal["sisters", "all"]], BeforeValidator(_against)] = Field(
        ["sisters", "all"],
        description="What a cluster is compared with: the other children of its parent, all other cells, or both.",
    )
    min_cells: CountFromZero = Field(10, description="Clusters with fewer cells are left out.")
    layer: Text | None = Field(None, description="Layer that has the expression. Default: `X`.")
    raw: Switch = Field(False, description="true: the expression is that in `raw`.")
    normalize: Switch = Field(
        False, description="true: the values are counts, to be brought to 10,000 a cell and to log1p; false: they are."
    )

    @model_validator(mode="after")
    def _one_source(self) -> MarkersConfig:
        if self.layer is not None and self.raw:
            raise refuse("names `layer` and `raw`, and there is one expression", "leave one of the two out")
        return self


def _markers(value: Any) -> object:
    if value is None or value is False:
        return None
    if value is True:
        return MarkersConfig()
    if isinstance(value, (Mapping, MarkersConfig)):
        return value
    near = did_you_mean(value, METHODS) if isinstance(value, str) else None
    raise refuse(
        f"must be true, false or a mapping such as {{method: t-test, layer: counts, normalize: true}}, "
        f"not {shown(value)}",
        near and f"write {{method: {value}}}",
    )


_SCHEMA = {"anyOf": [{"type": "boolean"}, MarkersConfig.model_json_schema(), {"type": "null"}]}

AskedMarkers = Annotated[MarkersConfig | None, BeforeValidator(_markers), WithJsonSchema(_SCHEMA)]
