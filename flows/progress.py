"""How a run tells where it is: to whoever listens in this process, else to the flow run's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

@dataclass
class Counts:
    """Splits of one dataset: really partitioned in this run, and found in the cache."""

    executed: int = 0
    cached: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a dataset is: cells times levels that are settled, of how many, and its splits so far."""

    dataset: str
    settled: int
    total: int
    counts: Counts


class Listener(Protocol):
    """Whatever shows progress."""

    def __call__(self, progress: Progress) -> None:
        """Show where a dataset is; called from the flow's event loop, so it must be quick."""


listeners: list[Listener] = []


def announce(progress: Progress) -> None:
    """Tell all listeners."""
    for listener in list(listeners):
        listener(progress)
