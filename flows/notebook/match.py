"""`cs.tl.match`: the ids of an earlier result for the clusters of an AnnData in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.elements.in_memory import NAME, in_memory_copy
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.matching.adata import match_adata
from cellstrata.tasks.matching.earlier import earlier_adata, read_earlier
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import anndata as ad

log = logging.getLogger("cellstrata")


def match(
    adata: ad.AnnData,
    earlier: ad.AnnData | str | os.PathLike[str],
    *,
    key: str | None = None,
    earlier_key: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    copy: bool = False,
) -> ad.AnnData | None:
    """Give clusters the ids that they have in an earlier result, by the cells that both have.

    A cluster keeps the id of the earlier one with which it shares most, by an optimal assignment within each parent, if
    their Jaccard index is 0.3 at least. All others get ids that the earlier result has not, nor has given up.

    Parameters
    ----------
    adata
        An AnnData with clusters of `cs.tl.cluster`, or a result of `cellstrata run` that was read.
    earlier
        The same of earlier, whose cells have the same names, or the path or URL of a result. It is not changed.
    key, earlier_key
        The `key_added` of the calls that made the clusters of either.
    storage_options
        Options of the store of a URL, by protocol, as a configuration has them.
    copy
        Return a copy with the new ids, and leave `adata` as it is.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. The columns of clusters and their colors, the tree and a table of markers have the new ids.
        The tree tells of each cluster `was`, `overlap` (Jaccard), `new`, `split_from` and `merged_from`;
        `uns['clustering']['match']` has the ids that are retired.

    Raises
    ------
    InputError
        If one of both has no clusters of cellstrata, or they share no cell or no column.

    Examples
    --------
    >>> import cellstrata as cs
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> cs.tl.cluster(adata, [0.5], hierarchy=2, progress=False)
    >>> fewer = adata[50:].copy()
    >>> cs.tl.cluster(fewer, [0.5], hierarchy=2, progress=False)
    >>> cs.tl.match(fewer, adata)
    """
    check_adata(adata)
    if isinstance(earlier, (str, os.PathLike)):
        there = read_earlier(Place(os.fspath(earlier), dict(storage_options or {})))
    else:
        check_adata(earlier)
        there = earlier_adata(earlier, earlier_key)
    found = match_adata(adata, there, key)
    for notice in found.notices:
        log.warning("%s: %s", NAME, notice)
    own = in_memory_copy(adata) if copy else adata
    found.write(own)
    return own if copy else None
