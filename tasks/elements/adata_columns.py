"""Columns of the obs of an AnnData, which may be a frame in memory or one that is read when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd


def obs_column(adata: ad.AnnData, name: str) -> pd.Series:
    """Return a column of obs, (n,), in memory; of a lazy AnnData (`anndata.experimental.read_lazy`) it is read."""
    return series_of(adata.obs[name])


def series_of(column: Any) -> pd.Series:
    """Return a column of a frame, which may be lazy, in memory; it keeps its categories."""
    with IMPORTING:
        import pandas as pd

    found = column.to_series() if hasattr(column, "to_series") else column
    if isinstance(getattr(column, "data", None), pd.Categorical):  # set in a lazy frame: `to_series` makes texts of it
        found = pd.Series(column.data, index=found.index, name=found.name)
    return found if isinstance(found, pd.Series) else pd.Series(np.asarray(found))
