"""The Prefect tasks: thin, each names what it does, finds its result by key or has it computed."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from cellstrata.flows.caching import NodeKey
from cellstrata.flows.executors.executor import Stopped, WorkerDied
from cellstrata.flows.run import current_executor
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.trees.jobs import Job

T = TypeVar("T")
Where = Literal["pool", "apart", "here"]


def store_failed(task: Any, run: Any, state: Any) -> bool:
    """Retry only what a store may do better the next time; never a wrong input, a full disk or a lost worker."""
    error = state.result(raise_on_failure=False, _sync=True)
    return (
        isinstance(error, (OSError, TimeoutError))
        and not isinstance(error, (DataError, FileNotFoundError, PermissionError))
        and not isinstance(error, (Stopped, WorkerDied, StoreError))  # a store's have been tried for a minute
        and getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
    )


RETRYING: dict[str, Any] = {
    "task_run_name": "{name}",
    "retries": 2,
    "retry_delay_seconds": [1.0, 4.0],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": store_failed,
}


@task(
    name="split",
    cache_policy=NodeKey(),
    result_serializer="json",
    persist_result=True,
    cache_result_in_memory=False,
    **RETRYING,
)
def split(name: str, key: str, job: Job) -> dict[str, object]:
    """Split one cluster, or several small ones with all that is below them."""
    with IMPORTING:
        from cellstrata.tasks.trees.jobs import run_job

    report = current_executor().run(run_job, job)
    for record in report.entries:
        job.cache.note(record)
    return report.to_json()


@task(
    name="step",
    cache_policy=NO_CACHE,
    persist_result=False,
    **RETRYING,
)
def step(
    name: str,
    where: Where,
    function: Callable[..., T],
    arguments: tuple[object, ...],
    find: Callable[..., T | None] | None = None,
) -> T:
    """Run another step of a dataset: `where` is `pool`, `apart` (a process of its own) or `here`.

    `find`, called here with the same arguments, may have the result at hand.
    """
    found = find(*arguments) if find is not None else None
    if found is not None:
        return found
    if where == "here":
        return function(*arguments)
    executor = current_executor()
    return (executor.run if where == "pool" else executor.run_apart)(function, *arguments)


async def run_step(
    name: str,
    where: Where,
    function: Callable[..., T],
    *arguments: object,
    find: Callable[..., T | None] | None = None,
    task: Task[..., Any] = step,
) -> T:
    """Submit a step and wait for its result without holding up the other datasets.

    `task` is `step`, or what does the same and says more of it.

    Raises
    ------
    Exception
        What the step's function raised, its retries used up.
    """
    future = task.submit(name, where, function, quote(arguments), find)
    result: T = await asyncio.to_thread(future.result)
    return result
