"""Synthetic atlases of any size: a planted three-level hierarchy with noise, no X unless genes are asked for."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

BRANCHES = (8, 5, 4)  # types, subtypes of each, states of each
SPREAD = (6.0, 2.5, 1.2)  # how far apart the centres of each level lie, in units of the noise


def planted_embedding(
    n_cells: int, n_dimensions: int = 50, seed: int = 0, noise: float = 1.0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return an (n, d) float32 embedding and the (n, 3) int32 numbers of each cell's groups at three levels.

    Group sizes fall off as in real tissue (Dirichlet), each leaf group has an anisotropic spread of its
    own, and variance falls with the dimension as in a PCA.
    """
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(1 + np.arange(n_dimensions) / 5)
    leaves, parents, weights = np.zeros((1, n_dimensions)), np.zeros((1, 0), np.int32), np.ones(1)
    for branch, spread in zip(BRANCHES, SPREAD, strict=True):
        moved = rng.normal(size=(len(leaves), branch, n_dimensions)) * spread * scale
        leaves = (leaves[:, None] + moved).reshape(-1, n_dimensions)
        own = np.arange(len(leaves), dtype=np.int32)
        parents = np.column_stack([np.repeat(parents, branch, axis=0), own]).astype(np.int32)
        weights = (weights[:, None] * rng.dirichlet(np.full(branch, 2.0), size=len(weights))).reshape(-1)
    widths = noise * rng.uniform(0.5, 1.2, size=(len(leaves), n_dimensions)) * scale
    leaf = rng.choice(len(leaves), size=n_cells, p=weights / weights.sum())
    embedding = np.empty((n_cells, n_dimensions), np.float32)
    for start in range(0, n_cells, 100_000):
        rows = leaf[start : start + 100_000]
        embedding[start : start + 100_000] = leaves[rows] + rng.normal(size=(len(rows), n_dimensions)) * widths[rows]
    return embedding, parents[leaf]


def write_synthetic(path: Path, n_cells: int, n_dimensions: int = 50, n_genes: int = 0, seed: int = 0) -> Path:
    """Write an h5ad with `obsm['X_pca']`, the true groups in obs, and a sparse X of `n_genes` genes."""
    import anndata
    import pandas as pd
    import scipy.sparse as sp

    embedding, groups = planted_embedding(n_cells, n_dimensions, seed)
    names = [f"cell{i}" for i in range(n_cells)]
    columns = {f"level{i + 1}": pd.Categorical(groups[:, i].astype(str)) for i in range(groups.shape[1])}
    x = None
    if n_genes:
        rng = np.random.default_rng(seed)
        x = sp.random(n_cells, n_genes, density=0.05, format="csr", dtype=np.float32, random_state=rng)
    adata = anndata.AnnData(X=x, obs=pd.DataFrame(columns, index=names), obsm={"X_pca": embedding})
    if x is None:
        adata.var = pd.DataFrame(index=[])
    adata.write_h5ad(path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.synthetic", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("n_cells", type=int)
    parser.add_argument("--dimensions", type=int, default=50)
    parser.add_argument("--genes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    write_synthetic(chosen.path, chosen.n_cells, chosen.dimensions, chosen.genes, chosen.seed)
