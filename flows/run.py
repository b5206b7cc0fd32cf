"""The run: what belongs to one run of this process, and ends with it.

The flow `cluster` opens it, or joins the one that its caller has opened. Flows and tasks below find it by
`current_run`: it is a context variable, which Prefect and asyncio hand on to what they start in other
threads. So a child flow that is retried finds it again, two runs at once do not meet, and a child flow that
a worker starts alone, in a process of its own, finds none and opens its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, TypeVar

from cellstrata.configs.model import RunConfig
from cellstrata.flows.executors.executor import CPUS_ONLY, Executor, Settings
from cellstrata.flows.executors.registry import open_executor
from cellstrata.flows.executors.threads import Threads
from cellstrata.flows.monitor.progress import ProgressFeed
from cellstrata.flows.submission import Where
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.leases import using
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.matching.earlier import SharedCells
from cellstrata.tasks.stores.retries import forget_said
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.timeline.work import Work, WorkLog
from cellstrata.tasks.trees.jobs import JobReport
from cellstrata.tasks.trees.root_graph import RootGraph
from cellstrata.tasks.workers.usage import Measured, Usage

T = TypeVar("T")
_current: ContextVar[Run | None] = ContextVar("cellstrata_run", default=None)
_open: list[Run] = []  # of this process
_opening = threading.Lock()


class Run:
    """One run: its configuration as it works with it (globs expanded, credentials at hand), and what it has at hand."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.progress = ProgressFeed()
        self.inputs: dict[str, Input] = {}  # inspected, by `dataset/file id`, until their flow takes them
        self.earlier: dict[str, SharedCells] = {}  # results after which clusters are numbered, by the same
        self.writable: set[str] = set()  # URLs that were asked
        self.graphs: dict[str, Future[RootGraph]] = {}  # of level 1, started before their turn, by key
        self.blocks: dict[str, Any] = {}  # ids of documents of Prefect's blocks, by server and name
        self.work = WorkLog()
        self.lock = threading.Lock()
        self.leases = contextlib.ExitStack()  # on its cache, as soon as that is read
        self._holds = False
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        """What computes; a run that has not started it computes in place."""
        return self._executor or Threads(Settings())

    @property
    def gpu(self) -> GpuStatus | None:
        """What GPU the workers have, as the executor knows it, None where each process looks for itself."""
        if self._executor is not None:
            return self._executor.status
        return CPUS_ONLY if self.config.runner == "dask" else None

    def compute(self, name: str, where: Where, function: Callable[..., T], *arguments: object) -> T:
        """Have the executor compute, or `here` this thread, and note what it took. Raises what the function raises."""
        asked = time.time()
        measured: Callable[..., tuple[T, Usage]] = Measured(function)
        executor = self.executor
        call = {"pool": executor.run, "apart": executor.run_apart}.get(where)
        result, usage = measured(*arguments) if call is None else call(measured, *arguments)
        executed = result.executed if isinstance(result, JobReport) else ()
        self.work.note(Work(name=name, asked=asked, usage=usage, splits=executed))
        return result

    def open_cache(self) -> Cache:
        """Open the cache, and the one that it reads besides."""
        return open_cache(self.config)

    def hold_cache(self) -> None:
        """Say in the cache that it is used, until the run ends; before anything is read from it."""
        with self.lock:
            if not self._holds:
                self.leases.enter_context(using(self.open_cache()))
                self._holds = True

    @contextlib.contextmanager
    def computing(self) -> Iterator[Executor]:
        """Have the executor open within the block; an inner block joins the outer one's.

        Raises
        ------
        RunnerUnusable
            If it cannot be used: before anything is computed.
        """
        if self._executor is not None:
            yield self._executor
            return
        with open_executor(Settings.of(self.config)) as self._executor:
            try:
                yield self._executor
            finally:
                self._executor = None

    def stop(self) -> None:
        """Stop all computing at once."""
        if self._executor is not None:
            self._executor.stop()


@contextlib.contextmanager
def open_run(config: RunConfig) -> Iterator[Run]:
    """Make a run the current one within the block: the one that is, if it has this very configuration."""
    run = _current.get()
    if run is not None and (run.config is config or run.config.model_dump() == config.model_dump()):
        yield run
        return
    run = Run(config)
    with _opening:
        _open.append(run)
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)
        run.leases.close()
        for source in run.inputs.values():  # that no flow has taken
            source.opened.close()
        with _opening:
            _open.remove(run)
            last = not _open
        if last:
            forget_said()  # the next run says again what stores it has to wait for


def current_run() -> Run | None:
    """Return the run of which this flow, task or thread is a part, None outside of any."""
    return _current.get()


def compute(name: str, where: Where, function: Callable[..., T], *arguments: object) -> T:
    """Compute within the current run; a task called outside of any computes in place."""
    run = _current.get()
    return function(*arguments) if run is None else run.compute(name, where, function, *arguments)


def open_cache(config: RunConfig) -> Cache:
    """Open the cache of a run, and the one that it reads besides."""
    behind = Store.at(config.read_cache, config.storage_options) if config.read_cache else None
    return Cache(Store.at(config.cache_url, config.storage_options), behind)
