"""How a run tells where it is: to whoever listens in this process, else to the flow run's log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

BEGINS, DONE = "begins", "done"  # what a dataset is doing


@dataclass
class Counts:
    """Splits of one dataset: really partitioned in this run, and found in the cache."""

    executed: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a dataset is: cells times levels that are settled, of how many, and its splits so far.

    `level` is the last of which every cluster is settled, in all trees. `doing` says what is done when all are
    settled; `total` is 0 where a dataset begins and it is not known yet.
    """

    dataset: str
    settled: int
    total: int
    counts: Counts
    doing: str = ""
    level: int = 0


class ProgressFeed:
    """Hands on how far a run is to all who show it."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Progress], None]] = []

    @contextlib.contextmanager
    def shown_by(self, listener: Callable[[Progress], None]) -> Iterator[None]:
        """Tell a listener within the block. It is called from the flow's event loop, so it must be quick."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def announce(self, progress: Progress, *others: Callable[[Progress], None]) -> None:
        """Tell all listeners, and others."""
        for listener in (*self._listeners, *others):
            listener(progress)
