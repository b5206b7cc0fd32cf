"""The tree of the label columns of an annotated atlas (`cs.tl.adopt`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellstrata.tasks.curation.adoption import adoption
from cellstrata.tasks.elements.in_memory import in_memory_copy
from cellstrata.tasks.inputs.adata_checks import check_adata

if TYPE_CHECKING:
    import anndata as ad


def adopt(
    adata: ad.AnnData, columns: str | Sequence[str], *, key_added: str | None = None, copy: bool = False
) -> ad.AnnData | None:
    """Take the nested label columns of an annotated atlas, as cell types from coarse to fine, for a tree of clusters.

    `cs.get.tree`, `cs.tl.markers`, `cs.pl` and `cs.report` then work on these types, and on the file that is written of
    the AnnData `cellstrata export`, `markers` and `explain`. The columns stay as they are: labels are the names of
    clusters.

    Parameters
    ----------
    adata
        An AnnData with labels in obs: categories, text, whole numbers or truth values.
    columns
        The columns, the coarsest first. Each label of one lies within one label of that before it.
    key_added
        The record goes to `uns[key_added]` in place of `uns['clustering']`.
    copy
        Return a copy with the record, and leave `adata` as it is.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. Written are the record with the tree, and the tree's colors, `uns[f"{column}_colors"]`, of
        categoricals that have none. A cell without a value ends at the level above. Labels in which a tree of types
        says that it goes no further, as `None` or `unknown`, are labels like others: remove them first.

    Raises
    ------
    InputError
        If a column is not there or holds no labels, if labels are not nested, with a label that is not and how many
        cells it has where; or if `uns[key_added]` has another record, which would be lost.

    Examples
    --------
    >>> import anndata as ad
    >>> import cellstrata as cs
    >>> import pandas as pd
    >>> obs = pd.DataFrame({"type": ["T", "T", "B"], "subtype": ["CD4", "CD8", "B"]}, index=list("abc"))
    >>> adata = ad.AnnData(obs=obs)
    >>> cs.tl.adopt(adata, ["type", "subtype"])
    >>> cs.get.tree(adata)["cluster"].tolist()
    ['B', 'T', 'B', 'CD4', 'CD8']
    """
    check_adata(adata, key_added)
    found = adoption(adata, [columns] if isinstance(columns, str) else columns, key_added)
    own = in_memory_copy(adata) if copy else adata
    found.write(own)
    return own if copy else None
