"""`cs.tl.curate`: names for the clusters of an AnnData in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.curation.adata_curation import curate_adata, curation_text
from cellstrata.tasks.curation.curate import file_text
from cellstrata.tasks.elements.in_memory import NAME, in_memory_copy
from cellstrata.tasks.inputs.adata_checks import check_adata
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import anndata as ad

GIVEN = "curation"  # what messages call one that is no file
log = logging.getLogger("cellstrata")


def curate(
    adata: ad.AnnData,
    curation: Mapping[str, Any] | str | os.PathLike[str],
    *,
    key: str | None = None,
    copy: bool = False,
) -> ad.AnnData | None:
    """Give names, ontology terms and colors to clusters, and merge some; columns of clusters stay as they are.

    Parameters
    ----------
    adata
        An AnnData with clusters of `cs.tl.cluster`, or a result of `cellstrata run` that was read.
    curation
        The path of a file as `cellstrata curate` takes it, or what is in it: `{"curator": "Jane Doe", "columns":
        {"leiden_0.5_1": {"clusters": {"0": "T cell"}, "unnamed": "keep"}}}`.
    key
        The `key_added` of the call that made the clusters.
    copy
        Return a copy with the names, and leave `adata` as it is.

    Returns
    -------
    ad.AnnData | None
        None, or the copy. Written are `obs[f"{column}_name"]`, `obs[f"{column}_ontology_term_id"]` where terms are
        given, their colors in uns, and who named what in `uns['clustering']['curation']`.

    Raises
    ------
    ConfigError
        With all that is wrong with the curation; nothing has been written then.
    InputError
        If there is no such file, or there are no clusters.
    """
    check_adata(adata)
    text, called = _text(curation)
    found = curate_adata(adata, text, called, key)
    for notice in found.notices:
        log.warning("%s: %s", NAME, notice)
    own = in_memory_copy(adata) if copy else adata
    found.write(own)
    return own if copy else None


def _text(curation: Mapping[str, Any] | str | os.PathLike[str]) -> tuple[str, str]:
    """Return a curation's text, and what messages call it."""
    if isinstance(curation, Mapping):
        return curation_text(curation), GIVEN
    path = os.fspath(curation)
    return file_text(Place(path)), path
