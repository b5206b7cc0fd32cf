"""What a store says of an input, as one digest: it changes when any object of the input does. Nothing is read."""

from __future__ import annotations

import os

from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.marks import SURE, TIMES
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store


def input_state(place: Place) -> str | None:
    """Return a digest of the names, sizes, times and ETags of all objects of an input, None if it is not there.

    Unlike what `Remembered` needs, this need not be certain: who starts a run for nothing loses seconds.

    Raises
    ------
    OSError
        If the store cannot be asked.
    """
    store = place.store
    try:
        marks = sorted(_local(store) if store.is_local else _remote(store))
    except FileNotFoundError:
        return None
    return digest_values(kind="watched", url=store.url, marks=marks) if marks else None


def _local(store: Store) -> list[list[object]]:
    root = store.path()
    files = [root] if os.path.isfile(root) else [store.path(key) for key in store.walk("")]
    stats = [(file, os.stat(file)) for file in files]
    return [[os.path.relpath(file, root), stat.st_size, stat.st_mtime_ns, stat.st_ino] for file, stat in stats]


def _remote(store: Store) -> list[list[object]]:
    store.fs.invalidate_cache()  # a listing of last time would hide what has changed since
    found = store.fs.find(store.path(), detail=True)
    return [
        [path, info.get("size") or 0, *(str(info[name]) for name in (*SURE, *TIMES) if info.get(name))]
        for path, info in found.items()
    ]
