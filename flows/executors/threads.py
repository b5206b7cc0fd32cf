"""The runner `threads`: no workers at all."""

from __future__ import annotations

import threading
from collections.abc import Callable

from cellstrata.flows.executors.executor import Settings, Stopped, T
from cellstrata.tasks.kernels.engine_igraph import igraph
from cellstrata.tasks.kernels.engines import LOCKING
from cellstrata.tasks.kernels.gpu import GpuStatus


class Threads:
    """Computes in place, in the thread that asks, as many at once as there are workers."""

    def __init__(self, settings: Settings) -> None:
        self.notices: list[str] = []
        self.status: GpuStatus | None = None
        self.at_once = self.threads = settings.cpus
        self._slots = threading.BoundedSemaphore(settings.cpus)
        self._stopped = False
        if settings.engines & LOCKING:
            igraph()  # hides matplotlib while it is imported, so not beside a thread that imports that

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Call the function when a slot is free."""
        with self._slots:
            return self.run_apart(function, *args)

    def run_apart(self, function: Callable[..., T], *args: object) -> T:
        """Call the function beside the workers."""
        if self._stopped:
            raise Stopped("stopped")
        return function(*args)

    def stop(self) -> None:
        """Start nothing more; what is running finishes."""
        self._stopped = True

    def close(self) -> None:
        """Do nothing: there is nobody to send home."""
