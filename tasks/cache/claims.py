"""Who is computing what: so that two runs over one cache share the work instead of doing it twice.

A claim is a hint, never a lock: one whose process is gone, or that is not renewed, counts for nothing,
and whoever computes a split although another claims it gets the same result.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.heartbeat import OF_WORK, Heartbeat, may_live, own_process
from cellstrata.tasks.stores.store import protocol_of

PACE = OF_WORK
TRIES = 2  # on a local disk, where a claim that is there may be given up before it is read
CREATING = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")  # stores that can write an object only if there is none


@dataclass
class Claims:
    """The claims of one run. Failures to write them are ignored: the cache may be only readable.

    `met` tells whether another live run's has been met.
    """

    cache: Cache
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    met: bool = False
    _held: set[str] = field(default_factory=set)
    _left: set[str] = field(default_factory=set)
    _done: set[str] = field(default_factory=set)
    _heart: Heartbeat | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Claims:
        self._heart = Heartbeat("cellstrata-claims", PACE.renewed_every, self._renew)
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._heart is not None:
            self._heart.stop()
        for key in list(self._held):
            self.release(key)
        with self._lock:
            done, self._done = self._done, set()
        if done:
            with contextlib.suppress(Exception):  # as in release
                self.cache.store.fs.rm([self.cache.store.path(_path(key)) for key in done])

    def finish(self, key: str) -> None:
        """Give a claim up whose work is done. In a bucket it stays to the end of the run, but is not renewed.

        Whoever meets it there looks for the entry again, and finds it; also when it counts no more (`left`).
        """
        if self.cache.store.is_local:
            self.release(key)
            return
        with self._lock:
            if key in self._held:
                self._held.discard(key)
                self._done.add(key)

    def take(self, key: str) -> bool:
        """Claim a key; False if another live run has it, or this one already."""
        with self._lock:
            if key in self._held:
                return False
        left = False
        for _ in range(TRIES if self.cache.store.is_local else 1):
            if self._created(key):
                break
            claim = self._of_another(key)
            if claim is not None and _counts(claim):
                self.met = True
                return False
            left = left or claim is not None
        else:
            self._write(key)
            if not self.cache.store.is_local and self._elsewhere(key):  # both asked before either wrote
                self.met = True
                return False
        with self._lock:
            self._held.add(key)
            (self._left.add if left else self._left.discard)(key)
        return True

    def left(self, key: str) -> bool:
        """Tell whether a claim that was taken stood on one of another run's that counted no more.

        That run was killed, or has done the work and lives: what it claims in a bucket is not renewed when it is done.
        """
        return key in self._left

    def _created(self, key: str) -> bool:
        """Write a claim where there is none, in one step; False if there is one, or the store knows no such."""
        store = self.cache.store
        if not store.is_local and protocol_of(store.url) not in CREATING:
            return False
        try:
            return store.create(_path(key), self._text())
        except Exception:  # stores differ in what they raise when it is there; a disk may know no hard links
            return False

    def release(self, key: str) -> None:
        """Give a claim up: its work is done, or has failed."""
        with self._lock:
            if key not in self._held:
                return
            self._held.discard(key)
        self._remove(key)

    def _remove(self, key: str) -> None:
        with contextlib.suppress(Exception):  # whatever a store raises
            self.cache.store.remove_object(_path(key))

    def _elsewhere(self, key: str) -> bool:
        claim = self._of_another(key)
        return claim is not None and _counts(claim)

    def _of_another(self, key: str) -> dict[str, Any] | None:
        try:
            claim = json.loads(self.cache.store.read(_path(key)))
            return claim if claim["run"] != self.run else None
        except Exception:  # none there, rubbish, or a store that fails: nothing to wait for
            return None

    def _write(self, key: str) -> None:
        with contextlib.suppress(Exception):
            self.cache.store.write(_path(key), self._text())

    def _text(self) -> bytes:
        return json.dumps({"run": self.run, **own_process(), "time": time.time()}).encode()

    def _renew(self) -> None:
        with self._lock:
            held = list(self._held)
        for key in held:
            self._write(key)
            with self._lock:
                given_up = key not in self._held and key not in self._done
            if given_up:  # meanwhile, and perhaps before what was written just now
                self._remove(key)


def _counts(claim: dict[str, Any]) -> bool:
    try:
        return PACE.counts(time.time() - claim["time"]) and may_live(claim)
    except Exception:  # rubbish
        return False


def _path(key: str) -> str:
    return f"v{SCHEME}/claims/{key}.json"
