"""How a neighborhood graph is built, where it is not the stored one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cellstrata.configs.errors import shown
from cellstrata.configs.values import Count, Metric, Neighbors, Text, refuse


class NeighborsConfig(BaseModel):
    """How a neighbourhood graph is built; what is left out comes from the stored graph's record."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    n_neighbors: Neighbors | None = Field(None, description="Neighbours of each cell. Default: as recorded, else 15.")
    use_rep: Text | None = Field(None, description="Embedding in `obsm`. Default: as recorded, else `X_pca`.")
    metric: Metric | None = Field(None, description="Distance: `euclidean` or `cosine`. Default: as recorded.")
    n_pcs: Count | None = Field(None, description="Use only the first so many columns of the embedding.")


def _neighbors(value: object) -> object:
    # `false` is the ancestor's spelling of "the stored graph, as it is".
    if value is False or isinstance(value, NeighborsConfig):
        return value
    if value is None:
        return NeighborsConfig()
    if isinstance(value, Mapping):
        return NeighborsConfig.model_validate(value)
    raise refuse(f"must be a mapping such as {{n_neighbors: 30, use_rep: X_pca}}, or false, not {shown(value)}")


AskedNeighbors = Annotated[NeighborsConfig | Literal[False], BeforeValidator(_neighbors)]
