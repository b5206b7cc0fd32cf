"""What an AnnData holds of its clusters, as frames (`cs.get`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import markers_key
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

__all__ = ["markers", "tree"]


def tree(adata: ad.AnnData, column: str | None = None, *, key: str | None = None) -> pd.DataFrame:
    """Return the tree of clusters: one row a cluster.

    Parameters
    ----------
    adata
        An AnnData that `cs.tl.cluster` has clustered, or a result of `cellstrata run` that was read.
    column
        A column of clusters: its tree from level 1 down to it. Default: all trees.
    key
        The `key_added` of the call.

    Returns
    -------
    pd.DataFrame
        `column`, `cluster`, `parent` (empty at level 1), `level`, `n_cells`, `n_children`, `reason` (why it was split
        no further), `resolution` and `modularity` of the split that was tried of it; of ensembles `stability` and
        `agreement`; where evidence was gathered `replicability`, `expected`, `p`, `purity`,
        `separation` and `markers` (genes that tell it from its sisters, where a rule asks).

    Raises
    ------
    InputError
        If the AnnData has no clusters of cellstrata, or no such column.
    """
    return AdataRecord.of(adata, key).table(column)


def markers(
    adata: ad.AnnData,
    column: str | None = None,
    cluster: str | None = None,
    against: Literal["sisters", "all"] | None = None,
    *,
    key: str | None = None,
) -> pd.DataFrame:
    """Return the marker genes that `cs.tl.markers` has found: one row a marker.

    Parameters
    ----------
    adata
        An AnnData in which markers were looked for.
    column, cluster, against
        Only those of this column, of this cluster, or against these cells.
    key
        The `key_added` of the call that made the clusters.

    Returns
    -------
    pd.DataFrame
        `column`, `cluster`, `parent`, `against`, `gene`, `rank` (from 1), `score`, `log_fold_change`, `p`,
        `p_adjusted`, `share_in`, `share_out` and `auroc` (of Wilcoxon's test).

    Raises
    ------
    InputError
        If none were looked for.
    """
    place = markers_key(key)
    if place not in adata.uns:
        raise InputError(NAME, f"uns[{place!r}]", "is not there: call `cs.tl.markers(adata)` first")
    table: pd.DataFrame = adata.uns[place]
    for name, value in (("column", column), ("cluster", cluster), ("against", against)):
        table = table if value is None else table[table[name] == value]
    return table.reset_index(drop=True)
