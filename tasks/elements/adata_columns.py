"""Columns of the obs of an AnnData, which may be a frame in memory or one that is read when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd


def obs_column(adata: ad.AnnData, name: str) -> pd.Series:
    """Return a column of obs, (n,), in memory; of a lazy AnnData (`anndata.experimental.read_lazy`) it is read."""
    with IMPORTING:
        import pandas as pd

    column = adata.obs[name]
    found = column.to_series() if hasattr(column, "to_series") else column
    if hasattr(column, "data") and isinstance(column.data, pd.Categorical):  # a lazy frame's, which a Series forgets
        found = pd.Series(column.data, index=found.index, name=name)
    return found if isinstance(found, pd.Series) else pd.Series(np.asarray(found))
