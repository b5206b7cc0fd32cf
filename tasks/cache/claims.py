"""Who is computing what: so that two runs over one cache share the work instead of doing it twice.

A claim is a hint, never a lock: one whose process is gone, or that is not renewed, counts for nothing,
and whoever computes a split although another claims it gets the same result.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass, field

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.store import protocol_of

VALID = 30.0  # seconds without renewal
RENEW = 10.0
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
    _done: set[str] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Claims:
        threading.Thread(target=self._renew, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for key in list(self._held):
            self.release(key)
        if self._done:
            with contextlib.suppress(Exception):  # as in release
                self.cache.store.fs.rm([self.cache.store.path(_path(key)) for key in self._done])

    def finish(self, key: str) -> None:
        """Give a claim up whose work is done. In a bucket it stays to the end of the run, but is not renewed.

        Whoever meets it there looks for the entry again, and finds it.
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
        if not self._created(key):
            if self._elsewhere(key):
                self.met = True
                return False
            self._write(key)
            if not self.cache.store.is_local and self._elsewhere(key):  # both asked before either wrote
                self.met = True
                return False
        with self._lock:
            self._held.add(key)
        return True

    def _created(self, key: str) -> bool:
        """Write a claim where there is none, in one request; False if there is one, or the store knows no such."""
        if protocol_of(self.cache.store.url) not in CREATING:
            return False
        path = self.cache.store.path(_path(key))
        try:
            self.cache.store.fs.pipe_file(path, self._text(), mode="create")
        except Exception:  # stores differ in what they raise when it is there
            return False
        return True

    def release(self, key: str) -> None:
        """Give a claim up: its work is done, or has failed."""
        with self._lock:
            if key not in self._held:
                return
            self._held.discard(key)
        with contextlib.suppress(Exception):  # whatever a store raises
            self.cache.store.remove_object(_path(key))

    def _elsewhere(self, key: str) -> bool:
        try:
            claim = json.loads(self.cache.store.read(_path(key)))
            age = abs(time.time() - claim["time"])  # nor does one of a clock that is ahead count for longer
            if claim["run"] == self.run or not age <= VALID:
                return False
            return claim["host"] != socket.gethostname() or _lives(int(claim["pid"]))
        except Exception:  # none there, rubbish, or a store that fails: nothing to wait for
            return False

    def _write(self, key: str) -> None:
        with contextlib.suppress(Exception):
            self.cache.store.write(_path(key), self._text())

    def _text(self) -> bytes:
        claim = {"run": self.run, "host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        return json.dumps(claim).encode()

    def _renew(self) -> None:
        while not self._ended.wait(RENEW):
            with self._lock:
                held = list(self._held)
            for key in held:
                self._write(key)


def _path(key: str) -> str:
    return f"v{SCHEME}/claims/{key}.json"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
