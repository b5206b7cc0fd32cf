"""Times in which Python collects no cyclic garbage, because it would wait for ever.

While HDF5 reads a file in a bucket, h5py holds its lock and waits for a thread that fetches. Should that thread
come to collect garbage with an object of h5py in it, it waits for the lock (h5py/h5py#2019, closed with a note in
its manual, h5py/h5py#2021). A request leaves three objects for later; where such times follow one another without
a gap, as with many data sets in one run, what has come together is collected as another begins: in a thread that
nobody waits for, which may wait for h5py.

This file can go when h5py frees its objects without that lock, or files in buckets are read without h5py.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

MANY = 50_000  # objects more than there were, from which on collecting pays

_lock = threading.Lock()
_times = 0
_enabled = False  # once none of them lasts


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Such a time, for all threads; several may overlap."""
    global _times, _enabled
    if _times and gc.get_count()[0] > MANY:
        gc.collect()
    with _lock:
        if not _times:
            _enabled = gc.isenabled()
            gc.disable()
        _times += 1
    try:
        yield
    finally:
        with _lock:
            _times -= 1
            if not _times and _enabled:
                gc.enable()


def collect_again() -> None:
    """Enable collecting, now or as soon as no such time lasts."""
    global _enabled
    with _lock:
        if _times:
            _enabled = True
        else:
            gc.enable()
