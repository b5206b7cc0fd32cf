"""`cs.tl.compare`: how columns of an AnnData agree with one another, or with those of other data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from cellstrata.tasks.evaluation.adata_cells import AdataCells
from cellstrata.tasks.evaluation.cell_tables import CellTable, open_cells
from cellstrata.tasks.evaluation.compared_results import ComparedResults, compare_in_table, compare_tables
from cellstrata.tasks.evaluation.comparison_frames import cell_frame, cluster_frame, pair_frame
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import StorageOptions

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

FRAMES = {"columns": pair_frame, "clusters": cluster_frame, "cells": cell_frame}
CALLED = ("this", "the other")


def compare(
    adata: ad.AnnData,
    columns: str | Sequence[str] | None = None,
    other: ad.AnnData | str | os.PathLike[str] | None = None,
    *,
    by: Literal["columns", "clusters", "cells"] = "columns",
    storage_options: StorageOptions | None = None,
) -> pd.DataFrame:
    """Tell how far columns of clusters agree: with one another, or with those of other data of the same cells.

    The numbers are those of the command `cellstrata compare`.

    Parameters
    ----------
    adata
        Cells with groups in obs: clusters, cell types, batches.
    columns
        Two to six columns, each two of which are compared. With `other` one that both have, or one of each; default:
        all columns of clusters that both have.
    other
        An AnnData, or the path or URL of a result, an h5ad or a table of labels. Cells are found by their names.
    by
        What a row is of: a pair of columns, a cluster of one of them and what it is in the other, or a cell.
    storage_options
        Options of stores by protocol for a URL: `{"s3": {"profile": "lab"}}`.

    Returns
    -------
    pd.DataFrame
        By columns: `first`, `second`, `n_cells`, `ari`, `nmi`, `v_measure`, `homogeneity`, `completeness` and
        `similarity`, the mean element-centric similarity of the cells (Gates and others 2019). By clusters: `column`,
        `cluster`, `n_cells`, `other`, `best`, `jaccard`, `n_shared`, `similarity`. By cells: the similarity of each,
        float32, a column for each pair, with the names of the cells.

    Raises
    ------
    InputError
        If there are no such columns, cells without names that tell them apart, or no cell that both have.
    """
    if by not in FRAMES:
        raise ValueError(f"by: must be one of {', '.join(FRAMES)}, not {by!r}")
    return FRAMES[by](compared(adata, columns, other, storage_options, with_names=by == "cells"))


def compared(
    adata: ad.AnnData,
    columns: str | Sequence[str] | None,
    other: ad.AnnData | str | os.PathLike[str] | None,
    storage_options: StorageOptions | None = None,
    *,
    with_names: bool = False,
) -> ComparedResults:
    """Compare columns; as `compare`, whose frames are made of this."""
    check_adata(adata)
    asked = [columns] if isinstance(columns, str) else list(columns or ())
    if other is None:
        return compare_in_table(AdataCells(adata), asked, with_names=with_names)
    with _opened(other, storage_options) as theirs:
        return compare_tables(AdataCells(adata), theirs, asked, called=CALLED, with_names=with_names)


@contextlib.contextmanager
def _opened(other: ad.AnnData | str | os.PathLike[str], storage_options: StorageOptions | None) -> Iterator[CellTable]:
    if not isinstance(other, (str, os.PathLike)):
        check_adata(other)
        yield AdataCells(other, CALLED[1])
        return
    with open_cells(Place(os.fspath(other), storage_options or {})) as table:
        yield table
