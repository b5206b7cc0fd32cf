"""What a store says of objects that a result refers to: enough to tell later whether they are the same.

An ETag, generation or version where the store has one, else the time of writing; and the size.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.marks import SURE, TIMES
from cellstrata.tasks.stores.store import Store

# How to restore what a local result refers to: nothing of it was read, so a copy of another time counts as changed.
WITH_TIMES = "with its times (cp -p, rsync -t)"


@dataclass(frozen=True)
class ElementState:
    """The objects of an element of a zarr: how many, their bytes, and a digest of their names and marks."""

    objects: int
    bytes: int
    digest: str

    def __str__(self) -> str:
        return f"{self.objects} objects, {self.bytes:,} bytes"


class ZarrListing:
    """All objects of a zarr, with what the store says of each."""

    def __init__(self, marks: Mapping[str, tuple[int, str]]) -> None:
        self.marks = dict(marks)
        self.keys = sorted(self.marks)

    @classmethod
    def of(cls, store: Store, path: str = "") -> ZarrListing:
        """List what lies under `path` of a store, keys from its root; links on a local disk are followed."""
        return cls(dict(_local(store, path) if store.is_local else _remote(store, path)))

    def below(self, path: str) -> list[str]:
        """Return the keys of the objects in a folder, sorted; all for the root."""
        if not path:
            return self.keys
        first = bisect.bisect_left(self.keys, f"{path}/")
        return self.keys[first : bisect.bisect_left(self.keys, f"{path}0")]  # "0" comes after "/"

    def children(self, path: str = "") -> list[str]:
        """Return the names of the folders directly in a folder."""
        start = len(path) + 1 if path else 0
        rests = (key[start:].partition("/") for key in self.below(path))
        return list(dict.fromkeys(name for name, slash, _ in rests if slash))

    def state(self, path: str) -> ElementState:
        """Return the state of an element."""
        found = [(key, *self.marks[key]) for key in self.below(path)]
        return ElementState(len(found), sum(size for _, size, _ in found), digest_values(objects=found))


def file_state(store: Store) -> dict[str, Any]:
    """Return the state of a single object, as JSON values.

    Raises
    ------
    FileNotFoundError
        If it has gone.
    """
    if store.is_local:
        stat = os.stat(store.root)
        return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    store.fs.invalidate_cache()
    info = store.fs.info(store.root)
    if info.get("type") == "directory":
        raise FileNotFoundError(store.url)
    name = next((name for name in (*SURE, *TIMES) if info.get(name)), None)
    return {"size": info.get("size"), **({} if name is None else {name: _text(info[name])})}


def _local(store: Store, path: str) -> Iterator[tuple[str, tuple[int, str]]]:
    for key in store.walk(path):
        with contextlib.suppress(FileNotFoundError):  # a link that leads nowhere
            stat = os.stat(store.path(key))
            yield key, (stat.st_size, str(stat.st_mtime_ns))


def _remote(store: Store, path: str) -> Iterator[tuple[str, tuple[int, str]]]:
    store.fs.invalidate_cache()  # what was listed before may have changed since
    below = len(store.fs._strip_protocol(store.root).strip("/"))
    try:
        found = store.fs.find(store.path(path), detail=True)
    except FileNotFoundError:
        return
    for name, info in found.items():
        mark = next((_text(info[key]) for key in (*SURE, *TIMES) if info.get(key)), "")
        yield name.strip("/")[below:].lstrip("/"), (int(info.get("size") or 0), mark)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
