"""The runner `processes`: a pool of processes on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from cellstrata.flows.executors.bare_spawn import BareSpawn
from cellstrata.flows.executors.executor import WORKER_ENVIRONMENT, Settings, Stopped, T
from cellstrata.flows.executors.turns import Turns
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.workers.process import start_worker


class Processes:
    """A pool of spawned processes. When one dies, all that was under way is run again, each alone."""

    def __init__(self, settings: Settings, start: Callable[[], None] = start_worker) -> None:
        """`start` is what each process calls first."""
        self.notices: list[str] = []
        self.status: GpuStatus | None = None
        self.at_once = self.threads = settings.cpus
        self._start = start
        self._lock = threading.Lock()
        self._turns = Turns()
        self._pools: set[ProcessPoolExecutor] = set()
        self._stopped = False
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._pool = self._new_pool(self.at_once)

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Run in the pool; a worker that dies, or has no memory left, costs one retry while nothing else runs.

        Raises
        ------
        WorkerDied
            If a worker dies over it also then.
        """
        return self._turns.twice(lambda: self._in_pool(function, *args), BrokenProcessPool)

    def run_apart(self, function: Callable[..., T], *args: object) -> T:
        """Run in a process that ends afterwards; it is retried like `run`.

        Raises
        ------
        WorkerDied
            If the process dies also then.
        """
        return self._turns.twice(lambda: self._apart(function, *args), BrokenProcessPool)

    def _in_pool(self, function: Callable[..., T], *args: object) -> T:
        pool = self._pool
        try:
            return self._result(pool, function, *args)
        except BrokenProcessPool:
            self._replace(pool)
            raise

    def _apart(self, function: Callable[..., T], *args: object) -> T:
        pool = self._new_pool(1)
        try:
            return self._result(pool, function, *args)
        finally:
            self._pools.discard(pool)
            pool.shutdown(wait=not self._stopped)

    def stop(self) -> None:
        """Kill the workers."""
        self._stopped = True
        for pool in list(self._pools):
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Let the workers end."""
        for pool in list(self._pools):
            pool.shutdown(wait=not self._stopped, cancel_futures=True)

    def _result(self, pool: ProcessPoolExecutor, function: Callable[..., T], *args: object) -> T:
        try:
            return pool.submit(function, *args).result()
        except (BrokenProcessPool, CancelledError, RuntimeError) as error:
            if self._stopped:
                raise Stopped("stopped") from None
            if isinstance(error, CancelledError):
                raise BrokenProcessPool from error
            raise

    def _new_pool(self, workers: int) -> ProcessPoolExecutor:
        with self._lock:
            if self._stopped:
                raise Stopped("stopped")
            pool = ProcessPoolExecutor(workers, mp_context=BareSpawn(), initializer=self._start)
            self._pools.add(pool)
            return pool

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is not broken:
                return
            self._pools.discard(broken)
        fresh = self._new_pool(self.at_once)
        broken.shutdown(wait=False, cancel_futures=True)
        self._pool = fresh
