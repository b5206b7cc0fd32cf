"""Where the computing is done: one executor for a run, chosen by `runner`.

A Prefect task is thin: it asks the executor to run a function of `tasks` and waits. Executors differ
in where that happens and in nothing else; each is a file of its own, imported when it is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from cellstrata.flows.executors.executor import Executor, Settings
from cellstrata.tasks.imports.turns import IMPORTING

RUNNERS: dict[str, str] = {
    "processes": "cellstrata.flows.executors.processes:Processes",
    "threads": "cellstrata.flows.executors.threads:Threads",
    "dask": "cellstrata.flows.executors.dask:Dask",
    "gpu": "cellstrata.flows.executors.gpu:open_gpu",
}


def runner_problem(runner: str) -> str | None:
    """Say which package of a runner is not installed, None where nothing is missing."""
    if runner == "dask" and importlib.util.find_spec("distributed") is None:
        return "runner: `dask` needs the package distributed; pip install 'cellstrata[dask]'"
    return None


@contextlib.contextmanager
def open_executor(settings: Settings) -> Iterator[Executor]:
    """Have an executor open within the block; an exception stops it at once.

    Raises
    ------
    RunnerUnusable
        If it cannot be used: before anything is computed.
    """
    executor = _open(settings)
    try:
        yield executor
    except BaseException:
        executor.stop()  # nobody waits for its results any more
        raise
    finally:
        executor.close()


def _open(settings: Settings) -> Executor:
    module, name = RUNNERS[settings.runner].split(":")
    with IMPORTING:
        make: Any = getattr(importlib.import_module(module), name)
    executor: Executor = make(settings)
    return executor
