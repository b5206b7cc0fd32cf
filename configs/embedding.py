"""On which embedding a cluster is split: that of all cells, or one derived from the cluster's own cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from cellstrata.configs.errors import did_you_mean, one_of, shown
from cellstrata.configs.expression import ExpressionConfig
from cellstrata.configs.values import Count, Switch, Text, one_word_of, positive_number, refuse

EMBEDDINGS = ("reuse", "pca", "hvg_pca")
FLAVORS = ("seurat", "cell_ranger", "seurat_v3")


class HarmonyConfig(BaseModel):
    """How Harmony takes batches out of the PCA of a cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    theta: Annotated[float, BeforeValidator(positive_number)] = Field(
        2.0, description="How strongly batches are mixed, as harmonypy names it."
    )
    max_iterations: Count = Field(10, description="Rounds of Harmony; it ends earlier where these change little.")

    def __str__(self) -> str:
        own = [f"{name} {value:g}" for name, value in self.model_dump(exclude_defaults=True).items()]
        return "".join(f", {each.replace('_', ' ')}" for each in own)


def _harmony(value: object) -> object:
    if value is None or value is False:
        return None
    if value is True:
        return HarmonyConfig()
    if isinstance(value, (Mapping, HarmonyConfig)):
        return value
    raise refuse(f"must be true, false or a mapping such as {{theta: 2, max_iterations: 10}}, not {shown(value)}")


def _spelled_harmony(asked: HarmonyConfig | None) -> object:
    return asked and (asked.model_dump(exclude_defaults=True) or True)


_HARMONY_SCHEMA = {"anyOf": [{"type": "boolean"}, HarmonyConfig.model_json_schema(), {"type": "null"}]}

AskedHarmony = Annotated[
    HarmonyConfig | None,
    BeforeValidator(_harmony),
    PlainSerializer(_spelled_harmony),
    WithJsonSchema(_HARMONY_SCHEMA),
]


class EmbeddingConfig(ExpressionConfig):
    """How the embedding of a cluster is derived from the expression of its cells."""

    method: Annotated[Literal["reuse", "pca", "hvg_pca"], one_word_of(EMBEDDINGS)] = Field(
        description="`reuse`: the embedding of all cells. `pca`: a PCA of the cluster's cells, of the genes in "
        "`var['highly_variable']` or all. `hvg_pca`: genes that vary among these cells are chosen first."
    )
    n_comps: Count = Field(50, description="Components of the PCA.")
    n_top_genes: Count = Field(2000, description="Genes that `hvg_pca` chooses.")
    flavor: Annotated[Literal["seurat", "cell_ranger", "seurat_v3"], one_word_of(FLAVORS)] = Field(
        "seurat", description="How it chooses them, as scanpy names it; `seurat_v3` needs counts."
    )
    batch_key: Text | None = Field(
        None,
        description="obs column of batches: `hvg_pca` chooses genes in each and combines them, and Harmony mixes them.",
    )
    scale: Switch = Field(False, description="true: each gene is scaled to unit variance, values above 10 are cut.")
    harmony: AskedHarmony = Field(
        None,
        description="true, or `theta` and `max_iterations`: Harmony takes the batches of `batch_key` out of the PCA "
        "(`pip install 'cellstrata[harmony]'`).",
    )

    @property
    def derives(self) -> bool:
        """Whether there is anything to compute."""
        return self.method != "reuse"

    def __str__(self) -> str:
        by = f" by {self.flavor}" + (f" in each {self.batch_key}" if self.batch_key else "")
        harmony = "" if self.harmony is None else f", Harmony by {self.batch_key}{self.harmony}"
        said = [
            f"{self.n_comps} components",
            *([f"{self.n_top_genes:,} genes{by}"] if self.method == "hvg_pca" else []),
        ]
        said += ["scaled"] * self.scale
        said += ["of raw"] * self.raw + ([f"of {self.layer}"] if self.layer else [])
        said += ["normalized"] * self.normalize
        return f"{self.method} of the cluster ({', '.join(said)}{harmony})"

    @model_validator(mode="after")
    def _whole(self) -> EmbeddingConfig:
        if self.method == "reuse" and (others := sorted(self.model_fields_set - {"method"})):
            raise refuse(f"`reuse` derives nothing, and has no {', '.join(others)}", "write `embedding: reuse`")
        if self.harmony is not None and self.batch_key is None:
            raise refuse("`harmony` mixes batches, and no column names them", "write `batch_key: donor` beside it")
        if self.batch_key is not None and self.method != "hvg_pca" and self.harmony is None:
            hint = "leave it out, or write `harmony: true` beside it"
            raise refuse("`batch_key` says where genes are chosen, which `hvg_pca` does alone", hint)
        if self.flavor == "seurat_v3" and self.method == "hvg_pca" and not self.normalize:
            hint = "say where they are, as `layer: counts`, and write `normalize: true`"
            raise refuse("`flavor: seurat_v3` chooses genes by counts", hint)
        return self


def _embedding(value: Any) -> object:
    if value is None or isinstance(value, (Mapping, EmbeddingConfig)):
        return value
    if isinstance(value, str) and value in EMBEDDINGS:
        return EmbeddingConfig(method=value)
    hint = did_you_mean(value, EMBEDDINGS) if isinstance(value, str) else None
    raise refuse(
        f"must be {one_of(EMBEDDINGS)}, or a mapping such as {{method: hvg_pca, n_top_genes: 2000}}, "
        f"not {shown(value)}",
        hint,
    )


def _spelled(asked: EmbeddingConfig | None) -> object:
    return asked and asked.model_dump(exclude_defaults=True)


_SCHEMA = {"anyOf": [{"enum": list(EMBEDDINGS)}, EmbeddingConfig.model_json_schema(), {"type": "null"}]}

AskedEmbedding = Annotated[
    EmbeddingConfig | None, BeforeValidator(_embedding), PlainSerializer(_spelled), WithJsonSchema(_SCHEMA)
]
