"""Writing while the next split is computed: in a bucket an answer takes as long as a small split."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from cellstrata.tasks.stores.requests import WRITES

LARGE = 1 << 26  # bytes of an array that is rather waited for than kept


class WritesBehind:
    """Writes of one job that go on in threads. What is written is there when `settle` has returned."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WRITES, "cellstrata-write")
        self._waiting: list[Future[None]] = []
        self._arrays: dict[str, np.ndarray] = {}

    def submit(self, write: Callable[[], None]) -> None:
        """Start a write; raises what one before it has raised."""
        self._look()
        self._waiting.append(self._threads.submit(write))

    def submit_array(self, digest: str, array: np.ndarray, write: Callable[[], None]) -> None:
        """Start to write an array, which can be had from here meanwhile."""
        self._look()
        if array.nbytes > LARGE:
            write()
            return
        self._arrays[digest] = array
        future = self._threads.submit(write)
        future.add_done_callback(lambda _: self._arrays.pop(digest, None))
        self._waiting.append(future)

    def array(self, digest: str) -> np.ndarray | None:
        """Return an array that is being written."""
        return self._arrays.get(digest)

    def submit_last(self, write: Callable[[], None]) -> None:
        """Start a write that begins when all before it have ended, and does not if one of them has failed."""
        before = list(self._waiting)  # these began earlier, so waiting for them holds up nothing

        def after() -> None:
            for future in before:
                future.result()
            write()

        self.submit(after)

    def settle(self) -> None:
        """Wait for all writes; raises what the first of those that failed has raised."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.result()

    def _look(self) -> None:
        for done in [future for future in self._waiting if future.done()]:
            self._waiting.remove(done)
            done.result()

    def __enter__(self) -> WritesBehind:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True)
