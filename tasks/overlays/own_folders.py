"""The folders in which runs put their own elements of an overlay, and the removal of those nobody needs.

Kept are those of the result that stands there, of the one before, which readers may have open, and of
any run that has written within ten minutes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from cellstrata.tasks.overlays.document import DOCUMENT, OWN_PREFIX, read_references
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.objects import StoredObject, list_objects, remove_unless_touched
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store

WRITER = "cellstrata-writer.json"  # the marker of a run that writes a copy
BEING_WRITTEN = 600.0  # seconds since its newest object
SUPERSEDED_KEPT = 3600.0  # seconds since another result took its place


def only_leftovers(names: Iterable[str]) -> bool:
    """Tell whether all that stands at a place is what interrupted runs of ours left."""
    return all(OWN_PREFIX.fullmatch(name) or name == WRITER for name in names)


def removable(store: Store, now: float | None = None) -> list[StoredObject]:
    """List the objects of folders that nobody needs; none where there is no result of ours, or one that is damaged.

    `now` (s since 1970) is the store's own time by default: that of the newest object there.
    """
    found = list_objects(store, "").objects
    folders: dict[str, list[StoredObject]] = {}
    for stored in found:
        top = stored.key.partition("/")[0]
        if OWN_PREFIX.fullmatch(top):
            folders.setdefault(top, []).append(stored)
    if not folders:
        return []
    at = max(stored.time for stored in found) if now is None else now
    kept = {name for name, inside in folders.items() if at - max(one.time for one in inside) < BEING_WRITTEN}
    document = next((stored for stored in found if stored.key == DOCUMENT), None)
    if document is not None:
        try:
            references = read_references(store)
        except InputError:
            return []
        kept.add(references.own)
        if references.supersedes and at - document.time < SUPERSEDED_KEPT:
            kept.add(references.supersedes)
    return [stored for name, inside in sorted(folders.items()) if name not in kept for stored in inside]


def remove_superseded(store: Store) -> int:
    """Remove what nobody needs at a place; return the bytes. Never fails: the next run tries again."""
    size = 0
    with contextlib.suppress(OSError):
        for stored in removable(store):
            size += stored.size if remove_unless_touched(store, stored) else 0
    return size


def leftovers_of(place: Place) -> list[tuple[Store, StoredObject]]:
    """List what nobody needs of the result at a place in a bucket; nothing where it cannot be asked.

    A place that is no result of ours has nothing that would be removed but folders of our own name.
    """
    store = place.store
    try:
        names = [] if store.is_local else store.list()
        if not any(OWN_PREFIX.fullmatch(name) for name in names):
            return []
        return [(store, stored) for stored in removable(store)]
    except Exception:  # whatever a store raises that is out of reach: these are leftovers alone
        return []
