"""The entries that a run has seen lately: each is read and checked once in a run, not at every step.

It belongs to one run in one process and ends with it, so what is damaged later is found by the next run.
"""

from __future__ import annotations

import threading

from cachetools import LRUCache

from cellstrata.tasks.cache.record import Record

MOST_BYTES = 1 << 28  # of the arrays that came with the entries
MOST = 50_000  # entries: each counts for as many bytes as this leaves it, if it has fewer
LISTED = 16  # characters of a key


class Recent:
    """Entries by key, those not used for longest forgotten first. Safe for threads.

    `listed` are the keys that there are, where that is known: others are not asked for.
    """

    def __init__(self, listed: frozenset[str] | None = None) -> None:
        self._listed = listed
        self._records: LRUCache[str, Record] = LRUCache(MOST_BYTES, getsizeof=_size)
        self._absent: set[str] = set()
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def note(self, record: Record) -> None:
        """Keep an entry that has just been read or written."""
        with self._lock:
            self._absent.discard(record.key)
            self._records.pop(record.key, None)
            if _size(record) <= MOST_BYTES:
                self._records[record.key] = record

    def find(self, key: str) -> Record | None:
        """Return the entry of a key, None if it has not been seen."""
        with self._lock:
            return self._records.get(key)

    def note_absent(self, key: str) -> None:
        """Note that just now there was no entry of a key."""
        with self._lock:
            self._absent.add(key)

    def was_absent(self, key: str) -> bool:
        """Tell whether just now there was no entry of a key; only once, since another run may write it.

        One that a listing lacks counts as absent for as long as this lives, which is a job.
        """
        if self._listed is not None and listed_as(key) not in self._listed:
            return True
        with self._lock:
            absent = key in self._absent
            self._absent.discard(key)
            return absent

    def note_checked(self, digest: str) -> None:
        """Note that an array was there, and intact."""
        with self._lock:
            self._checked.add(digest)

    def was_checked(self, digest: str) -> bool:
        """Tell whether an array has been seen intact."""
        with self._lock:
            return digest in self._checked


def listed_as(key: str) -> str:
    """Return a key as listings have it: short, since they go with each job."""
    return key[:LISTED]


def _size(record: Record) -> int:
    return max(sum(array.nbytes for array in record.inline.values()), -(-MOST_BYTES // MOST))
