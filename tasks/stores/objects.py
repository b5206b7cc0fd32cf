"""What lies in a store, with sizes and times, and its careful removal; links are never followed."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cellstrata.tasks.stores.marks import TIMES
from cellstrata.tasks.stores.store import Store


@dataclass(frozen=True)
class StoredObject:
    """An object of a store: its key, its size in bytes, when it was last written or touched (s since 1970)."""

    key: str
    size: int
    time: float


@dataclass
class ObjectListing:
    """The objects under a key; the links there, which may lead anywhere; what cannot be read."""

    objects: list[StoredObject] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, other: ObjectListing) -> None:
        """Take another listing in."""
        self.objects += other.objects
        self.links += other.links
        self.unreadable += other.unreadable


def list_objects(store: Store, key: str) -> ObjectListing:
    """List all objects under `key`, or `key` itself if it is one; empty when there is nothing."""
    found = ObjectListing()
    if store.is_local:
        _list_local(store, key, found)
        return found
    store.fs.invalidate_cache()  # what was listed before may have changed since
    below = len(store.fs._strip_protocol(store.root).strip("/"))
    with contextlib.suppress(FileNotFoundError):
        for path, info in store.fs.find(store.path(key), detail=True).items():
            name = path.strip("/")[below:].lstrip("/")
            found.objects.append(StoredObject(name, int(info.get("size") or 0), _time(info)))
    store.fs.invalidate_cache()
    return found


def time_of(store: Store, key: str) -> float | None:
    """Return when an object was last written or touched (s since 1970), None when it is gone."""
    try:
        if store.is_local:
            return os.stat(store.path(key), follow_symlinks=False).st_mtime
        return _time(store.fs.info(store.path(key)))
    except FileNotFoundError:
        return None


def remove_unless_touched(store: Store, found: StoredObject) -> bool:
    """Remove an object, unless it has been written or touched since it was listed; tell whether it is gone.

    On a local disk nothing is removed that a link on the way to it, put there since, leads elsewhere.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    now = time_of(store, found.key)
    if now is None:
        return True
    if now != found.time:
        return False
    path = store.path(found.key)
    if not store.is_local:
        with contextlib.suppress(FileNotFoundError):
            store.fs.rm_file(path)
        return True
    folders = found.key.split("/")[:-1]
    if any(os.path.islink(store.path("/".join(folders[: n + 1]))) for n in range(len(folders))):
        return False
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return True


def remove_empty_folders(store: Store, folder: str) -> None:
    """Remove a folder of a local disk with those in it, as far as they are empty."""
    if not store.is_local:
        return
    for inside, _, _ in os.walk(store.path(folder), topdown=False):  # links are not entered
        with contextlib.suppress(OSError):
            os.rmdir(inside)


def _list_local(store: Store, key: str, found: ObjectListing) -> None:
    waiting = [key]
    while waiting:
        key = waiting.pop()
        path = store.path(key)
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found.links.append(key)
            elif stat.S_ISDIR(status.st_mode):
                waiting += [f"{key}/{name}" for name in os.listdir(path)]
            elif stat.S_ISREG(status.st_mode):
                found.objects.append(StoredObject(key, status.st_size, status.st_mtime))
            else:  # a pipe or a device: reading it might never end
                found.unreadable.append(key)
        except (FileNotFoundError, NotADirectoryError):  # gone since, or never there
            continue
        except OSError:
            found.unreadable.append(key)


def _time(info: Mapping[str, Any]) -> float:
    """When an object was written, as its store says; now where it does not say, so that it is not taken for old."""
    for value in (info[name] for name in TIMES if info.get(name)):
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        with contextlib.suppress(TypeError, ValueError):
            return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)
    return time.time()
