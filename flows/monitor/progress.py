"""How a run tells where it is: to whoever listens in this process, else to the flow run's log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Counts:
    """Splits of one dataset: really partitioned in this run, and found in the cache."""

    executed: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a dataset is: cells times levels that are settled, of how many, and its splits so far.

    `doing` says what is done when all are settled.
    """

    dataset: str
    settled: int
    total: int
    counts: Counts
    doing: str = ""


# Whatever shows progress; called from the flow's event loop, so it must be quick.
listeners: list[Callable[[Progress], None]] = []


def announce(progress: Progress, *others: Callable[[Progress], None]) -> None:
    """Tell all listeners, and others."""
    for listener in (*listeners, *others):
        listener(progress)
