"""Plots (`cs.pl`): a run's figures, of an AnnData in memory. Each returns axes, whose figure can be saved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellstrata.flows.notebook.compare import compared
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.figures.adata_figures import (
    advice_of,
    clustree_sheet,
    composition_sheet,
    stability_sheet,
    tree_sheet,
    umap_sheet,
)
from cellstrata.tasks.figures.comparison_figure import comparison_sheet
from cellstrata.tasks.figures.shown import shown
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    from matplotlib.axes import Axes

__all__ = ["advice", "clustree", "compare", "composition", "stability", "tree", "umap"]


def tree(adata: ad.AnnData, column: str | None = None, *, key: str | None = None) -> Axes:
    """Draw the tree of clusters, each with its size, and why it was split no further.

    Parameters
    ----------
    adata
        An AnnData with clusters of `cs.tl.cluster`, or a result of `cellstrata run` that was read.
    column
        The column of clusters down to which it is drawn. Default: the first tree's last level.
    key
        The `key_added` of the call.

    Returns
    -------
    Axes
        The axes of a new figure.

    Raises
    ------
    InputError
        If there are no clusters, or no such column.
    """
    return shown(lambda: tree_sheet(AdataRecord.of(adata, key), column))


def clustree(adata: ad.AnnData, algorithm: str | None = None, *, key: str | None = None) -> Axes:
    """Draw level 1 at all resolutions, and how cells pass from the clusters of one to those of the next.

    Parameters
    ----------
    adata, key
        As for `tree`.
    algorithm
        `leiden` or `louvain`. Default: the first.

    Returns
    -------
    Axes
        The axes of a new figure.

    Raises
    ------
    InputError
        If there are fewer than two resolutions.
    """
    return shown(lambda: clustree_sheet(AdataRecord.of(adata, key), algorithm))


def umap(adata: ad.AnnData, color: str | None = None, *, basis: str = "X_umap", key: str | None = None) -> Axes:
    """Draw the cells on their UMAP by cluster, or by any column of obs.

    Parameters
    ----------
    adata, key
        As for `tree`.
    color
        A column of obs. Default: the first tree's last level.
    basis
        The entry of obsm, of two dimensions.

    Returns
    -------
    Axes
        The axes of a new figure.

    Raises
    ------
    InputError
        If there is no such column, or no UMAP.
    """
    return shown(lambda: umap_sheet(AdataRecord.of(adata, key), color, basis))


def stability(adata: ad.AnnData, column: str | None = None, *, basis: str = "X_umap", key: str | None = None) -> Axes:
    """Draw the cells on their UMAP by how far other seeds find their cluster again.

    Parameters
    ----------
    adata, column, key
        As for `tree`.
    basis
        The entry of obsm, of two dimensions.

    Returns
    -------
    Axes
        The axes of a new figure.

    Raises
    ------
    InputError
        If clusters were made by single runs, or there is no UMAP.
    """
    return shown(lambda: stability_sheet(AdataRecord.of(adata, key), column, basis))


def composition(adata: ad.AnnData, by: str, column: str | None = None, *, key: str | None = None) -> Axes:
    """Draw what each cluster is composed of: bars of a column's values, or violins of its numbers.

    Parameters
    ----------
    adata, column, key
        As for `tree`.
    by
        A column of obs, as a donor or a cell type.

    Returns
    -------
    Axes
        The axes of a new figure.

    Raises
    ------
    InputError
        If there is no such column.
    """
    return shown(lambda: composition_sheet(AdataRecord.of(adata, key), by, column))


def advice(adata: ad.AnnData, algorithm: str | None = None, *, key: str | None = None) -> Axes:
    """Draw how many clusters each resolution gives, how far they are found again, and which are advised.

    Parameters
    ----------
    adata, key
        As for `tree`.
    algorithm
        `leiden` or `louvain`. Default: the first.

    Returns
    -------
    Axes
        The upper axes of a new figure.

    Raises
    ------
    InputError
        If there are fewer than two resolutions, of which one could be advised.
    """
    return shown(lambda: advice_of(AdataRecord.of(adata, key), algorithm))


def compare(
    adata: ad.AnnData,
    columns: str | Sequence[str] | None = None,
    other: ad.AnnData | str | os.PathLike[str] | None = None,
) -> Axes:
    """Draw how two columns share cells: a heat map of their Jaccard indices, and where cells go.

    Parameters
    ----------
    adata, columns, other
        As for `cs.tl.compare`, of one pair of columns.

    Returns
    -------
    Axes
        The axes of the heat map, of a new figure.

    Raises
    ------
    InputError
        As `cs.tl.compare`, and if these are several pairs.
    """
    found = compared(adata, columns, other)
    if len(found.pairs) > 1:
        pairs = f"{len(found.pairs)} pairs of columns are compared, and a figure shows one: name the columns"
        raise InputError(NAME, "columns", pairs)
    return shown(lambda: comparison_sheet(found.pairs[0]))
