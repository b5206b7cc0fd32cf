"""The obs of an AnnData in memory, and its genes, as covariates and as a table of groups of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.evaluation.covariates import Covariate, Numbers, categories_of, hex_colors, numbers_of
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

MOST_NAMES = 8


class AdataCells:
    """The columns of an AnnData's obs, read one by one as those of a file are; `called` stands for it in messages."""

    def __init__(self, adata: ad.AnnData, called: str = NAME) -> None:
        self.url, self._adata = called, adata
        self.columns: tuple[str, ...] = tuple(map(str, adata.obs.columns))

    def names(self) -> np.ndarray:
        """Return the names of the cells, (n,) object array of str."""
        return np.asarray(self._adata.obs_names, dtype=object)

    def series(self, name: str) -> pd.Series:
        """Return a column that is there, of length n."""
        return obs_column(self._adata, name)

    def colors(self, name: str) -> list[str] | None:
        """Return the colours that uns has for a column's categories."""
        return hex_colors(self._adata.uns.get(f"{name}_colors"))


def obs_covariate(adata: ad.AnnData, name: str) -> Covariate:
    """Return a column of obs as categories or numbers, (n,).

    Raises
    ------
    InputError
        If there is no such column.
    """
    if name not in adata.obs:
        hint = did_you_mean(name, adata.obs) or f"obs has {listed(list(adata.obs), MOST_NAMES) or 'no columns'}"
        raise InputError(NAME, f"obs[{name!r}]", f"is not there; {hint}")
    cells = AdataCells(adata)
    column = cells.series(name)
    return numbers_of(column, name) or categories_of(column, name, cells.colors(name))


def gene_values(adata: ad.AnnData, name: str) -> Numbers | None:
    """Return a gene's values, of `raw` where that has the gene, as scanpy's plots do; None if there is no such gene."""
    of = next((of for of in (adata.raw, adata) if of is not None and name in of.var_names), None)
    if of is None or of.X is None:
        return None
    return Numbers(name, np.asarray(of.obs_vector(name), dtype=np.float64))


def category_columns(adata: ad.AnnData) -> Mapping[str, int]:
    """Return the names of the columns of obs that are categorical, and how many categories each has."""
    found = {str(name): obs_column(adata, str(name)) for name in adata.obs.columns}
    return {name: len(of.cat.categories) for name, of in found.items() if of.dtype.name == "category"}
