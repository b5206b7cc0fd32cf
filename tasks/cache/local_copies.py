"""Arrays that a process has fetched from a bucket, kept on its disk: an embedding comes once, not for every split.

Each is a file without a name, memory-mapped: only the rows that are used take memory, and nothing is
left behind, however the process ends.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable

import numpy as np
from cachetools import LRUCache

KEPT = 4  # arrays: the embeddings that are being split; the one not used for longest goes first

Array = np.ndarray
_kept: LRUCache[str, Array] = LRUCache(KEPT)
_lock = threading.Lock()


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
