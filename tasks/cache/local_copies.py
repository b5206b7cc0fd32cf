"""Arrays that a process has fetched from a bucket, kept on its disk: an embedding comes once, not for every split.

Each is a file without a name, memory-mapped: only the rows that are used take memory, and nothing is
left behind, however the process ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable

import numpy as np
from cachetools import LRUCache

from cellstrata.tasks.stores.digest import digest_array

KEPT = 12  # arrays: embeddings that are being split, and lists of neighbours; what was not used for longest goes first

Array = np.ndarray
_kept: LRUCache[str, Array] = LRUCache(KEPT)
_lock = threading.Lock()
_checked: set[tuple[str, int, int, int]] = set()


def fetched(name: str, fetch: Callable[[], Array]) -> Array:
    """Return the array called `name`, which never changes; it is fetched if this process has not got it."""
    with _lock:  # threads that want the same array wait for one copy
        if name in _kept:
            return _kept[name]
        array = fetch()
        try:
            with tempfile.TemporaryFile(prefix="cellstrata-") as file:
                file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
                file.flush()
                mapped = np.memmap(file, dtype=array.dtype, mode="r", shape=array.shape)
        except OSError:  # no room on the disk
            return array
        _kept[name] = mapped
        return mapped


def checked_once(mapped: Array, path: str, digest: str) -> bool:
    """Tell whether a memory-mapped file has the digest of its name; it is read once in a process, unless it changes."""
    about = os.stat(path)
    name = (path, about.st_mtime_ns, about.st_size, about.st_ino)
    with _lock:
        if name in _checked:
            return True
    if digest_array(mapped) != digest:
        return False
    with _lock:
        _checked.add(name)
    return True
