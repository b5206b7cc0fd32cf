"""Whose result stands at a place: ours, somebody else's, or none."""

from __future__ import annotations

from typing import Any

import zarr
from zarr.storage import ZipStore

from cellstrata.tasks.elements.opening import InputError, Root, zarr_store
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.overlays.document import MADE_BY, has_document, read_references
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.overlays.own_folders import only_leftovers
from cellstrata.tasks.stores.places import Place


def is_ours(place: Place) -> bool:
    """Tell whether a result of cellstrata stands at a place: `uns/clustering/made_by` or its document says so.

    True also for one whose upload to a bucket was interrupted.
    """
    store = place.store
    if has_document(store):
        try:
            return bool(read_references(store).own)
        except InputError:
            return False
    if not store.exists():
        return False
    mark = place.below("uns", "clustering", "made_by").store
    try:
        with quiet():
            return str(zarr.open_array(zarr_store(mark), mode="r")[()]) == MADE_BY
    except (OSError, ValueError, KeyError):
        return False


def made_by_us(root: Root) -> bool:
    """Tell whether an open AnnData is a result of cellstrata, as `is_ours` does; what was made of one is none."""
    if not isinstance(root, zarr.Group) or isinstance(root.store, ZipStore):
        return False
    if isinstance(root.store, LinkedStore):
        return bool(root.store.references.own)
    try:
        mark: Any = root["uns/clustering/made_by"]
        return str(mark[()]) == MADE_BY
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_foreign(place: Place) -> bool:
    """Tell whether something stands at a place that cellstrata did not make; an empty folder is nothing."""
    store = place.store
    if not store.exists():
        return False
    return store.is_file() or not (only_leftovers(store.list()) or is_ours(place))
