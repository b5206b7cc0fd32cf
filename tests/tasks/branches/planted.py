"""Cells with a planted rare subtype: 1 % of them, with genes of its own, that a PCA of all cells does not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import scanpy
import scipy.sparse as sp

CELLS, GENES, OWN, RARE = 5_000, 2_000, 40, 50


@dataclass(frozen=True)
class Rare:
    """The data, with counts in a layer, logarithms in X and a PCA; and which cells are of the large type, and rare."""

    data: Any
    large: npt.NDArray[np.bool_]
    rare: npt.NDArray[np.bool_]


def rare_subtype(seed: int = 0) -> Rare:
    """Draw six types of counts, the largest of which has the rare subtype within."""
    rng = np.random.default_rng(seed)
    types = rng.choice(6, CELLS, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    mean = np.tile(rng.gamma(0.3, 1.0, GENES), (CELLS, 1))
    for kind in range(6):
        higher = rng.choice(GENES - 2 * OWN, 200, replace=False)
        mean[np.ix_(types == kind, higher)] *= rng.lognormal(1.5, 0.5, 200)
    mean[:, -OWN:] = 0.02
    rare = np.isin(np.arange(CELLS), np.flatnonzero(types == 0)[:RARE])
    mean[np.ix_(rare, np.arange(GENES - OWN, GENES))] = 0.5
    depth = 2_000 * rng.lognormal(0, 0.3, CELLS)
    counts = rng.poisson(mean / mean.sum(1, keepdims=True) * depth[:, None]).astype(np.float32)
    data = anndata.AnnData(sp.csr_matrix(counts))
    data.layers["counts"] = data.X.copy()
    data.obs["donor"] = rng.choice(["a", "b", "c"], CELLS)
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    few = data.copy()
    scanpy.pp.highly_variable_genes(few, n_top_genes=500)
    data.var["highly_variable"] = few.var["highly_variable"].to_numpy()
    few = few[:, few.var["highly_variable"]].copy()
    scanpy.pp.pca(few, n_comps=10, random_state=0)
    data.obsm["X_pca"] = np.asarray(few.obsm["X_pca"], np.float32)
    return Rare(data, types == 0, rare)


def recovered(labels: npt.NDArray[Any], rare: npt.NDArray[np.bool_]) -> float:
    """Return the best Jaccard index of a cluster with the rare cells."""
    return max(
        float((of & rare).sum() / (of | rare).sum()) for cluster in np.unique(labels) if (of := labels == cluster).any()
    )
