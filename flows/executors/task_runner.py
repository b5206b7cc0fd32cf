"""The Prefect task runner of this project: threads that wait on the run's one executor."""

from __future__ import annotations

import contextlib
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from cellstrata.flows.executors.executor import Settings
from cellstrata.flows.executors.registry import shared_executor

WAITING = 2  # threads beyond the workers, so that a worker never waits for the next job's look-up


class ExecutorTaskRunner(ThreadPoolTaskRunner[Any]):
    """Opens the executor named by `runner` when its flow starts and leaves it when that ends."""

    def __init__(self, settings: Settings | None = None, at_once: int = 1) -> None:
        super().__init__(max_workers=at_once + WAITING)
        self.settings, self.at_once = settings or Settings(), at_once
        self._opened = contextlib.ExitStack()

    def duplicate(self) -> ExecutorTaskRunner:
        """Return a runner of the same kind; Prefect uses one for each flow run."""
        return type(self)(self.settings, self.at_once)

    def __enter__(self) -> ExecutorTaskRunner:
        self._opened.enter_context(shared_executor(self.settings))
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        try:
            super().__exit__(*exc)
        finally:
            self._opened.close()
