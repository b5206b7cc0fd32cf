"""From the expression of some cells to an embedding of theirs: genes that vary among them, and a PCA, by scanpy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.branches.harmony import mixed
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.imports.turns import IMPORTING

FEWEST = 10  # cells of a batch within the cluster: of fewer it cannot be told which genes vary
ONE_BATCH = "no Harmony: one batch"
LARGEST = 10.0  # standard deviations: what scanpy's tutorials cut scaled values at


class NotDerivable(ValueError):
    """Of these cells no embedding can be made; the message says why."""


@dataclass(frozen=True)
class Derived:
    """An embedding, (n, components) float32, and the numbers of the genes that it was made of, (genes,) int32.

    `note` says what was asked for and not done.
    """

    values: npt.NDArray[np.float32]
    genes: npt.NDArray[np.int32]
    note: str | None = None


def derive(
    matrix: Any,
    asked: EmbeddingConfig,
    given: npt.NDArray[np.bool_] | None = None,
    batches: npt.NDArray[np.int32] | None = None,
) -> Derived:
    """Derive the embedding of cells from their expression, an (n, genes) CSR matrix as it is stored.

    With `asked.normalize` it holds counts, brought to logarithms by `scanpy.pp.normalize_total(target_sum=1e4)` and
    `log1p`. `given` marks the genes that `pca` takes, (genes,), all by default; `hvg_pca` chooses them by
    `scanpy.pp.highly_variable_genes`, within each of `batches`, (n,), where these are given: by the cells of those with
    at least 10 here, by all cells if these are fewer than two. Cells without a batch have -1. Then `scanpy.pp.pca`, of
    `asked.n_comps` components or as many as there can be. With `asked.harmony` batches are taken out of it, where there
    are several. One thread computes, so that the result depends on no more than its input.

    Raises
    ------
    NotDerivable
        If no embedding can be made of these cells: fewer than two, fewer than two genes, all the same, or because of
        what scanpy says.
    """
    with IMPORTING:
        import anndata
        import pandas as pd
        import scanpy
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    n = matrix.shape[0]
    kind = np.float64 if matrix.dtype == np.float64 else np.float32
    adata = anndata.AnnData(matrix.astype(kind))
    with threadpool_limits(1), quiet(), _not_derivable():
        if asked.method == "hvg_pca" and asked.flavor == "seurat_v3":
            adata.layers["counts"] = adata.X.copy()
        if asked.normalize:
            scanpy.pp.normalize_total(adata, target_sum=1e4)
            scanpy.pp.log1p(adata)
        genes = np.arange(adata.n_vars) if given is None else np.flatnonzero(given)
        if asked.method == "hvg_pca":
            known = _large(adata.X, batches) if batches is not None else None
            of = adata if known is None else adata[known].copy()
            if known is not None and batches is not None:
                of.obs["batch"] = pd.Categorical(batches[known].astype(str))
            genes = _variable(scanpy, of, asked, batched=known is not None)
        components = min(asked.n_comps, n - 1, len(genes) - 1)
        if components < 1:
            raise NotDerivable(f"{n} cells and {len(genes)} genes are too few for a PCA")
        taken = adata[:, genes].copy()
        taken.layers.pop("counts", None)  # anndata 0.13 has X among the layers, which stays
        if asked.scale:
            scanpy.pp.scale(taken, max_value=LARGEST)
        if not _varies(taken.X):
            raise NotDerivable("all cells have the same values of these genes")
        scanpy.pp.pca(taken, n_comps=components, random_state=0)
    values, note = np.ascontiguousarray(taken.obsm["X_pca"], dtype=np.float32), None
    if asked.harmony is not None and batches is not None:
        without = mixed(values, batches, asked.harmony)
        values, note = (values, ONE_BATCH) if without is None else (without, None)
    if not np.isfinite(values).all():
        raise NotDerivable("it has values that are not finite")
    return Derived(values, genes.astype(np.int32), note)


@contextlib.contextmanager
def _not_derivable() -> Iterator[None]:
    """Say of what scanpy refuses of such cells that no embedding can be made of them."""
    try:
        yield
    except NotDerivable:
        raise
    except (ValueError, IndexError, ArithmeticError) as error:
        raise NotDerivable(f"scanpy: {' '.join(str(error).split()) or type(error).__name__}") from error


def _large(matrix: Any, batches: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_] | None:
    """Mark the cells of the batches that are large enough, (n,); None if these are fewer than two."""
    expressing = np.asarray(matrix.sum(axis=1)).reshape(-1) > 0
    sizes = np.bincount(batches[(batches >= 0) & expressing])
    large = np.flatnonzero(sizes >= FEWEST)
    return np.isin(batches, large) if len(large) > 1 else None


def _variable(scanpy: Any, adata: Any, asked: EmbeddingConfig, *, batched: bool) -> Any:
    expressed = np.asarray((adata.X != 0).sum(axis=0)).reshape(-1) > 0  # the others vary nowhere, and have no logarithm
    if (n := int(expressed.sum())) < 2:
        raise NotDerivable(f"{n} of the genes {'is' if n == 1 else 'are'} expressed")
    part = adata[:, expressed].copy()
    if not _varies(part.X):
        raise NotDerivable("all cells have the same values of all genes")
    more = {"layer": "counts"} if asked.flavor == "seurat_v3" else {}
    scanpy.pp.highly_variable_genes(
        part, n_top_genes=min(asked.n_top_genes, part.n_vars), flavor=asked.flavor,
        batch_key="batch" if batched else None, **more,
    )  # fmt: skip
    return np.flatnonzero(expressed)[part.var["highly_variable"].to_numpy()]


def _varies(values: Any) -> bool:
    most, least = values.max(axis=0), values.min(axis=0)
    found = most != least
    return bool(found.nnz if hasattr(found, "nnz") else np.any(found))
