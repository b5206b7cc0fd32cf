"""Signs of life: small objects in a store that say "I am alive here", and the threads that renew them.

A sign is a hint, never a lock. It counts for nothing when it has not been renewed for a while, or when
its process is gone: a run that was killed blocks nobody.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cellstrata.tasks.stores.store import Store


@dataclass(frozen=True)
class Pace:
    """How often a sign is renewed, and how long without renewal it counts (both s)."""

    renewed_every: float
    dead_after: float

    def counts(self, age: float) -> bool:
        """Tell whether a sign of an age (s) counts; one of a clock that is ahead does not for longer, nor NaN ever."""
        return abs(age) <= self.dead_after


BEAT_WITHIN = 10.0  # s that a beat under way is waited for
OF_A_RUN = Pace(60.0, 600.0)  # nobody waits for it
OF_WORK = Pace(10.0, 30.0)  # others wait for what it claims


def own_process() -> dict[str, object]:
    """Return what a sign says of the process that gives it: its host and number."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def may_live(sign: dict[str, Any]) -> bool:
    """Tell whether the process of a sign may be there: of another host's nothing is known.

    One that names no process of this host is none's.
    """
    if sign.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(sign["pid"]), 0)
    except PermissionError:  # it is another user's
        return True
    except (OSError, KeyError, TypeError, ValueError, OverflowError):
        return False
    return True


class Heartbeat:
    """A thread that calls `beat` every so many seconds, from entering to leaving, or until `beat` returns False.

    What `beat` raises is ignored: no run fails because it cannot say that it lives.
    """

    def __init__(self, name: str, seconds: float, beat: Callable[[], bool | None]) -> None:
        self._seconds, self._beat = seconds, beat
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first beat comes after the first wait."""
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether it was told to end: a beat that was slow then takes back what it wrote."""
        return self._ended.is_set()

    def stop(self) -> None:
        """End, after a beat that is under way, for which at most BEAT_WITHIN is waited: none comes after."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=BEAT_WITHIN)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            with contextlib.suppress(Exception):  # whatever a store raises
                if self._beat() is False:
                    return


@contextlib.contextmanager
def sign_of_life(store: Store, path: str, sign: bytes, thread: str, seconds: float) -> Iterator[None]:
    """Have a sign lie in a store while the block runs, which a thread of this name renews every so many seconds.

    A store that does not take it goes without one.
    """

    def write() -> None:
        with contextlib.suppress(Exception):  # whatever a store raises
            store.write(path, sign)

    def remove() -> None:
        with contextlib.suppress(Exception):
            store.remove(path)

    def renew() -> None:
        write()
        if heart.stopped:  # meanwhile, and perhaps before what was written just now
            remove()

    heart = Heartbeat(thread, seconds, renew)
    write()
    heart.start()
    try:
        yield
    finally:
        heart.stop()
        remove()
