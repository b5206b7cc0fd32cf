"""Few cells whose clusters are known at two levels, for runs whose ids are matched."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd

FIRST, SECOND = "leiden_0.1_1", "leiden_0.1_2"
HIERARCHY = {"levels": {2: {"n_neighbors": 10, "resolution": 0.3}}}  # at resolution 0.1, with 30 neighbors in X_latent


def atlas() -> ad.AnnData:
    """Return 384 cells in four groups of two subgroups of 56 to 40 cells each, numbered by size, with values of X."""
    rng, sizes = np.random.default_rng(7), [56, 54, 52, 50, 46, 44, 42, 40]
    centres = np.zeros((8, 8))
    centres[np.arange(8), np.arange(8) // 2], centres[1::2, 4] = 20, 2
    embedding = np.repeat(centres, sizes, axis=0) + rng.normal(size=(sum(sizes), 8)) * 0.4
    names = pd.DataFrame(index=[f"c{i}" for i in range(sum(sizes))])
    genes = pd.DataFrame(index=[f"g{i}" for i in range(8)])
    x = np.log1p(np.abs(embedding)).astype(np.float32)
    return ad.AnnData(X=x, obs=names, var=genes, obsm={"X_latent": embedding.astype(np.float32)})


def without_most_of_the_largest(cells: ad.AnnData) -> ad.AnnData:
    """Return the cells without most of those of 0_0, so that the sizes of both levels have another order."""
    number = np.arange(cells.n_obs)
    return cells[np.flatnonzero((number >= 56) | (number % 4 == 0))].copy()
