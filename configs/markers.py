"""Which marker genes are looked for, and where the expression that they are looked for in is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from cellstrata.configs.errors import did_you_mean, one_of, shown
from cellstrata.configs.expression import ExpressionConfig
from cellstrata.configs.values import Count, CountFromZero, each_once, one_word_of, refuse

Method = Literal["t-test", "t-test_overestim_var", "wilcoxon"]
Against = Literal["sisters", "all"]
METHODS: tuple[Method, ...] = ("t-test", "t-test_overestim_var", "wilcoxon")
AGAINST: tuple[Against, ...] = ("sisters", "all")


def _against(value: object) -> object:
    def known(word: object) -> str:
        if isinstance(word, str) and word in AGAINST:
            return word
        raise refuse(f"must be {one_of(AGAINST)} (or a list of both), not {shown(word)}", did_you_mean(word, AGAINST))

    kept = each_once(value, known)
    if not kept:
        raise refuse("is an empty list", "write for example [sisters, all]")
    return kept


class MarkersConfig(ExpressionConfig):
    """How marker genes are found, for every cluster of every column."""

    method: Annotated[Method, one_word_of(METHODS)] = Field("t-test", description="The test, as scanpy names it.")
    n_genes: Count = Field(100, description="How many genes are kept for each cluster, those with the highest scores.")
    against: Annotated[list[Against], BeforeValidator(_against)] = Field(
        ["sisters", "all"],
        description="What a cluster is compared with: the other children of its parent, all other cells, or both.",
    )
    min_cells: CountFromZero = Field(10, description="Clusters with fewer cells are left out.")


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
