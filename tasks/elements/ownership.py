"""Whose result stands at a place: ours, somebody else's, or none."""

from __future__ import annotations

import zarr

from cellstrata.tasks.elements.opening import InputError, zarr_store
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.overlays.document import has_document, read_references
from cellstrata.tasks.overlays.own_folders import only_leftovers
from cellstrata.tasks.stores.store import (
    StorageOptions,
    Store,
    join,
)

MADE_BY = "cellstrata"


def is_ours(output_url: str, storage_options: StorageOptions | None = None) -> bool:
    """Tell whether a result of cellstrata stands at a URL: `uns/clustering/made_by` or its document says so.

    True also for one whose upload to a bucket was interrupted.
    """
    place = Store.at(output_url, storage_options)
    if has_document(place):
        try:
            return bool(read_references(place).own)
        except InputError:
            return False
    if not place.exists():
        return False
    mark = Store.at(join(output_url, "uns", "clustering", "made_by"), storage_options)
    try:
        with quiet():
            return str(zarr.open_array(zarr_store(mark), mode="r")[()]) == MADE_BY
    except (OSError, ValueError, KeyError):
        return False


def is_foreign(output_url: str, storage_options: StorageOptions | None = None) -> bool:
    """Tell whether something stands at a URL that cellstrata did not make; an empty folder is nothing."""
    there = Store.at(output_url, storage_options)
    if not there.exists():
        return False
    return there.is_file() or not (only_leftovers(there.list()) or is_ours(output_url, storage_options))
