"""What an AnnData in memory must be before anything of it is read."""

from __future__ import annotations

from typing import Any

from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.stores.data_errors import InputError


def check_adata(adata: Any, key_added: str | None = None) -> None:
    """See that something is an AnnData into which columns can be written.

    Raises
    ------
    TypeError
        If it is none.
    InputError
        If it is a view of one that is backed by a file, or `key_added` is another's entry of uns.
    """
    with IMPORTING:
        import anndata as ad

    if not isinstance(adata, ad.AnnData):
        file = "; of a file: `anndata.read_h5ad(path)`, or `cellstrata.run`" if isinstance(adata, str) else ""
        raise TypeError(f"{NAME} must be an AnnData, not {type(adata).__name__}{file}")
    if adata.is_view and adata.isbacked:
        message = "is a view of an AnnData that is backed by a file, into which nothing can be written: take it into "
        raise InputError(NAME, "", f"{message}memory with `.to_memory()`")
    if key_added is not None and (not isinstance(key_added, str) or not key_added or "/" in key_added):
        raise InputError(NAME, "", f"`key_added` must be a name without a `/`, not {key_added!r}")
    entry = None if key_added is None else adata.uns.get(key_added)
    if entry is not None and not (hasattr(entry, "get") and entry.get("made_by") == MADE_BY):
        raise InputError(
            NAME, f"uns[{key_added!r}]", "is there and was not made by cellstrata: choose another `key_added`"
        )
