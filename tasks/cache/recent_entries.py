"""The entries that a run has seen lately: each is read and checked once in a run, not at every step.

It belongs to one run in one process and ends with it, so what is damaged later is found by the next run.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from cellstrata.tasks.cache.record import Record

MOST_BYTES = 1 << 28  # of the arrays that came with the entries
MOST = 50_000  # entries
LISTED = 16  # characters of a key


class Recent:
    """Entries by key, those not used for longest forgotten first. Safe for threads.

    `listed` are the keys that there are, where that is known: others are not asked for.
    """

    def __init__(self, listed: frozenset[str] | None = None) -> None:
        self._listed = listed
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._absent: set[str] = set()
        self._checked: set[str] = set()
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, record: Record) -> None:
        """Keep an entry that has just been read or written."""
        with self._lock:
            self._absent.discard(record.key)
            self._drop(record.key)
            self._records[record.key] = record
            self._bytes += _size(record)
            while self._records and (self._bytes > MOST_BYTES or len(self._records) > MOST):
                self._drop(next(iter(self._records)))

    def find(self, key: str) -> Record | None:
        """Return the entry of a key, None if it has not been seen."""
        with self._lock:
            if key in self._records:
                self._records.move_to_end(key)
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

    def _drop(self, key: str) -> None:
        if (old := self._records.pop(key, None)) is not None:
            self._bytes -= _size(old)


def listed_as(key: str) -> str:
    """Return a key as listings have it: short, since they go with each job."""
    return key[:LISTED]


def _size(record: Record) -> int:
    return sum(array.nbytes for array in record.inline.values())
