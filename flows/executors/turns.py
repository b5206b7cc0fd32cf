"""Whether work may run beside other work: what has failed for want of memory is tried again alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from cellstrata.flows.executors.executor import T, WorkerDied


class Turns:
    """Any number work beside one another, or one alone. Who wants to be alone goes before all who begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._beside = 0
        self._wanting = 0
        self._alone = False

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        """Wait until nobody is alone or wants to be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and not self._wanting)
            self._beside += 1
        try:
            yield
        finally:
            with self._changed:
                self._beside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody else works."""
        with self._changed:
            self._wanting += 1
            self._changed.wait_for(lambda: not self._alone and not self._beside)
            self._wanting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def twice(self, attempt: Callable[[], T], lost: type[Exception]) -> T:
        """Try beside others; if that raises `lost` or MemoryError, try once more with nothing else under way.

        Raises
        ------
        WorkerDied
            If it raises `lost` also then: whoever dies while alone has done it by itself.
        """
        with contextlib.suppress(lost, MemoryError), self.beside_others():
            return attempt()
        with self.alone():
            try:
                return attempt()
            except lost:
                raise WorkerDied(
                    "the worker process was killed, even while nothing else ran; most often it ran out of memory"
                ) from None
