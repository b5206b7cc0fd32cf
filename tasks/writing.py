"""Writing while the next split is computed: in a bucket an answer takes as long as a small split."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

AT_ONCE = 8


class WritesBehind:
    """Writes of one job that go on in threads. What is written is there when `settle` has returned."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "cellstrata-write")
        self._waiting: list[Future[None]] = []

    def submit(self, write: Callable[[], None]) -> None:
        """Start a write; raises what one before it has raised."""
        for done in [future for future in self._waiting if future.done()]:
            self._waiting.remove(done)
            done.result()
        self._waiting.append(self._threads.submit(write))

    def settle(self) -> None:
        """Wait for all writes; raises what the first of those that failed has raised."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.result()

    def __enter__(self) -> WritesBehind:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True)
