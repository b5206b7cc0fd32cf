"""Where the computing is done: one executor for the whole run, chosen by `runner`.

A Prefect task is thin: it asks the executor to run a function of `tasks` and waits. Executors differ
in where that happens and in nothing else; each is a file of its own, imported when it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import threading
from collections.abc import Iterator
from typing import Any

from cellstrata.flows.executors.executor import CPUS_ONLY, Executor, Settings
from cellstrata.flows.executors.threads import Threads
from cellstrata.tasks.kernels.gpu import GpuStatus

RUNNERS: dict[str, str] = {
    "processes": "cellstrata.flows.executors.processes:Processes",
    "threads": "cellstrata.flows.executors.threads:Threads",
    "dask": "cellstrata.flows.executors.dask:Dask",
    "gpu": "cellstrata.flows.executors.gpu:open_gpu",
}

_current: Executor | None = None
_users = 0
_guard = threading.Lock()


def runner_problem(runner: str) -> str | None:
    """Say which package of a runner is not installed, None where nothing is missing."""
    if runner == "dask" and importlib.util.find_spec("distributed") is None:
        return "runner: `dask` needs the package distributed; pip install 'cellstrata[dask]'"
    return None


@contextlib.contextmanager
def shared_executor(settings: Settings) -> Iterator[Executor]:
    """Open the run's executor, or join the one that is open; it closes with its last user.

    Raises
    ------
    RunnerUnusable
        If it cannot be used: before anything is computed.
    """
    global _current, _users
    with _guard:
        if _current is None:
            _current = _open(settings)
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
        if last:
            executor.close()


def _open(settings: Settings) -> Executor:
    module, name = RUNNERS[settings.runner].split(":")
    make: Any = getattr(importlib.import_module(module), name)
    executor: Executor = make(settings)
    return executor


def gpu_of_run(runner: str) -> GpuStatus | None:
    """Return what GPU the run's workers have, as its executor knows it, None where each process looks for itself."""
    if _current is not None:
        return _current.status
    return CPUS_ONLY if runner == "dask" else None


def current_executor() -> Executor:
    """Return the run's executor; a task called outside a run computes in place."""
    return _current or Threads(Settings())


def stop_all() -> None:
    """Stop the run's executor at once, if there is one."""
    if _current is not None:
        _current.stop()
