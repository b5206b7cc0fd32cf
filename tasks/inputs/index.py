"""What an input was found to hold, remembered by what its store says of it, as git's index does.

The next run on the same object need not read it again. The store's word is taken for whole files and
for every object of a zarr element: its ETag or generation, else size and time. What has changed in
the last seconds is not trusted, since a later change within a clock's tick could not be told.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.overlays.linked_store import overlay_marks
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.marks import SURE, TIMES
from cellstrata.tasks.stores.store import Store

RECENT = 3.0  # seconds; file systems with times of one or two seconds are still in use


@dataclass(frozen=True)
class Remembered:
    """The memory of one input in a cache; `forget` makes it know nothing, and learn anew."""

    cache: Cache
    source: Opened
    forget: bool = False

    def key(self, elements: Iterable[str], **what: object) -> str | None:
        """Return the key of something found out of these elements, None where the store tells too little."""
        marks = self._marks(elements)
        if self.source.kind == "zarr" and not self.source.place.is_local:
            what["metadata"] = "own"  # earlier memories may be of what consolidated metadata said
        return None if marks is None else digest_values(kind="input", source=self.source.url, marks=marks, what=what)

    def recall(self, key: str | None) -> Mapping[str, Any] | None:
        """Return what is remembered, if its arrays are all there and intact."""
        if key is None or self.forget:
            return None
        record = self.cache.find(key, "input")
        return None if record is None else record.body

    def learn(self, key: str | None, body: dict[str, object]) -> Record | None:
        """Remember what was found."""
        return None if key is None else self.cache.write_record("input", key, body)

    def digest_of(self, element: str, compute: Callable[[], str]) -> str:
        """Return the digest of an element's values, by `compute` where it is not remembered."""
        place = self.key([element], digest="values")
        known = self.recall(place)
        if known is not None and isinstance(known.get("digest"), str):
            return str(known["digest"])
        found = compute()
        self.learn(place, {"digest": found})
        return found

    def knows_digest_of(self, element: str) -> bool:
        """Tell whether the digest of an element's values is remembered."""
        return self.recall(self.key([element], digest="values")) is not None

    def _marks(self, elements: Iterable[str]) -> list[list[object]] | None:
        if self.source.kind == "memory":
            return None
        found: list[list[object]] = []
        try:
            if self.source.kind == "overlay":
                with self.source.root() as root:
                    return overlay_marks(root.store, elements)
            for element in [""] if self.source.kind != "zarr" else sorted(elements):
                store = self.source.file.store
                marks = list((_local if store.is_local else _remote)(store, element))
                known = [mark for mark in marks if mark is not None]
                if not marks or len(known) < len(marks):
                    return None
                found += known
        except (OSError, ValueError, KeyError):
            return None
        return sorted(found, key=str)


def _local(store: Store, element: str) -> Iterable[list[Any] | None]:
    path = store.path(element)
    files = [path] if os.path.isfile(path) else [store.path(key) for key in store.walk(element)]
    now = time.time_ns()
    for file in files:
        stat = os.stat(file)
        changed = max(stat.st_mtime_ns, stat.st_ctime_ns)  # the latter cannot be set back by a copy
        mark = [os.path.relpath(file, store.root), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        yield mark if changed < now - RECENT * 1e9 else None


def _remote(store: Store, element: str) -> Iterable[list[object] | None]:
    found = store.fs.find(store.path(element), detail=True)
    if not isinstance(found, dict):  # adlfs, of a single blob
        found = {store.path(element): store.fs.info(store.path(element))}
    for path, info in found.items():
        sure = [str(info[name]) for name in SURE if info.get(name)]
        when = [str(info[name]) for name in TIMES if info.get(name)]
        yield [path, info.get("size"), *sure, *when] if sure or when else None
