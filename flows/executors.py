"""Where the computing is done: one executor for the whole run, chosen by `runner`.

A Prefect task is thin: it asks the executor to run a function of `tasks` and waits. Executors differ
in where that happens and in nothing else.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from flows.turns import Turns
from tasks.engine_igraph import igraph
from tasks.worker import start_worker

T = TypeVar("T")
# Kernels run single-threaded, so that no number of threads changes a bit and nothing is oversubscribed.
WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    # glibc gives the memory of large arrays back at once and takes it anew, page by page, for the
    # next split: a quarter of its time where page faults are dear, as on virtual machines.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}


class WorkerDied(RuntimeError):
    """A worker process was killed over some work and again when that ran alone, most often for want of memory."""


class Stopped(RuntimeError):
    """The run is being stopped: nothing more is computed."""


class Executor(Protocol):
    """Runs functions for tasks, blocking the thread that asks."""

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function of plain arguments and return its result."""

    def run_apart(self, function: Callable[..., T], *args: Any) -> T:
        """The same in a process of its own, for what imports scanpy; workers stay light."""

    def stop(self) -> None:
        """End at once: whoever waits gets an error, no process is left."""


class Threads:
    """Computes in place, in the thread that asks, as many at once as there are workers."""

    def __init__(self, workers: int) -> None:
        self._slots = threading.BoundedSemaphore(workers)
        self._stopped = False
        igraph()  # hides matplotlib while it is imported, so not beside a thread that imports that

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function when a slot is free."""
        with self._slots:
            return self.run_apart(function, *args)

    def run_apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function beside the workers."""
        if self._stopped:
            raise Stopped("stopped")
        return function(*args)

    def stop(self) -> None:
        """Start nothing more; what is running finishes."""
        self._stopped = True


class Processes:
    """A pool of spawned processes. When one dies, all that was under way is run again, each alone."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._turns = Turns()
        self._pools: set[ProcessPoolExecutor] = set()
        self._stopped = False
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._pool = self._new_pool(workers)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run in the pool; a worker that dies, or has no memory left, costs one retry while nothing else runs.

        Raises
        ------
        WorkerDied
            If a worker dies over it also then.
        """
        return self._twice(self._in_pool, function, *args)

    def run_apart(self, function: Callable[..., T], *args: Any) -> T:
        """Run in a process that ends afterwards; it is retried like `run`.

        Raises
        ------
        WorkerDied
            If the process dies also then.
        """
        return self._twice(self._apart, function, *args)

    def _twice(self, attempt: Callable[..., Any], function: Callable[..., T], *args: Any) -> T:
        result: T
        with contextlib.suppress(BrokenProcessPool, MemoryError), self._turns.beside_others():
            result = attempt(function, *args)
            return result
        with self._turns.alone():  # so that whoever dies now has done it by itself
            try:
                result = attempt(function, *args)
            except BrokenProcessPool:
                raise WorkerDied(
                    "the worker process was killed, even while nothing else ran; most often it ran out of memory"
                ) from None
        return result

    def _in_pool(self, function: Callable[..., T], *args: Any) -> T:
        pool = self._pool
        try:
            return self._result(pool, function, *args)
        except BrokenProcessPool:
            self._replace(pool)
            raise

    def _apart(self, function: Callable[..., T], *args: Any) -> T:
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

    def _result(self, pool: ProcessPoolExecutor, function: Callable[..., T], *args: Any) -> T:
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
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=start_worker)
            self._pools.add(pool)
            return pool

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is not broken:
                return
            self._pools.discard(broken)
        fresh = self._new_pool(self._workers)
        broken.shutdown(wait=False, cancel_futures=True)
        self._pool = fresh


RUNNERS: dict[str, Callable[[int], Any]] = {"processes": Processes, "threads": Threads}

_current: Executor | None = None
_users = 0
_guard = threading.Lock()


@contextlib.contextmanager
def shared_executor(runner: str, workers: int) -> Iterator[Executor]:
    """Open the run's executor, or join the one that is open; it closes with its last user.

    Raises
    ------
    ValueError
        If this version has no such runner.
    """
    global _current, _users
    if runner not in RUNNERS:
        raise ValueError(f"`runner: {runner}` is not available in this version; use {' or '.join(RUNNERS)}")
    with _guard:
        if _current is None:
            _current = RUNNERS[runner](workers)
        _users += 1
        executor = _current
    try:
        yield executor
    except BaseException:
        executor.stop()  # nobody waits for its results any more
        raise
    finally:
        with _guard:
            _users -= 1
            last = _users == 0
            if last:
                _current = None
        if last and isinstance(executor, Processes):
            executor.close()


def current_executor() -> Executor:
    """Return the run's executor; a task called outside a run computes in place."""
    return _current or Threads(1)


def stop_all() -> None:
    """Stop the run's executor at once, if there is one."""
    if _current is not None:
        _current.stop()
