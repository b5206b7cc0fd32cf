"""The Prefect tasks: thin, each names what it does, finds its result by key or has it computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from cellstrata.flows.caching import NodeKey, cache_block
from cellstrata.flows.run import compute
from cellstrata.flows.submission import RETRY_DELAYS, Submit, Submitted, Where, may_pass
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.trees.jobs import Job, jobs_key

T = TypeVar("T")


def store_failed(task: Any, run: Any, state: Any) -> bool:
    """Retry only what a store may do better the next time."""
    return may_pass(state.result(raise_on_failure=False, _sync=True))


RETRYING: dict[str, Any] = {
    "task_run_name": "{name}",
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": list(RETRY_DELAYS),
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
def split(name: str, key: str, jobs: Sequence[Job]) -> list[dict[str, object]]:
    """Split one cluster, or several small ones with all that is below them; several jobs were in the cache."""
    with IMPORTING:
        from cellstrata.tasks.trees.jobs import run_job

    reports = []
    for job in jobs:
        report = compute(name, "pool", run_job, job)
        for record in report.entries:
            job.cache.note(record)
        reports.append(report.to_json())
    return reports


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
    return compute(name, where, function, *arguments)


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


@dataclass(frozen=True, eq=False)
class PrefectWork:
    """A task that was submitted."""

    future: Any

    @property
    def from_cache(self) -> bool:
        """Whether Prefect found its result in the cache."""
        return bool(self.future.state.name == "Cached")

    def add_done_callback(self, callback: Callable[[PrefectWork], object], /) -> None:
        """Have a function called with this when the task has ended."""
        self.future.add_done_callback(lambda _: callback(self))

    async def failure(self) -> BaseException | str | None:
        """Return why the task failed, None where it completed."""
        self.future.wait()  # without it the state is not yet final
        state = self.future.state
        if state.is_completed():
            return None
        error = await state.aresult(raise_on_failure=False)
        return error if isinstance(error, BaseException) else str(state.message)

    def result(self) -> Any:
        """Return what the task returned."""
        return self.future.result()


@dataclass(frozen=True)
class PrefectSteps:
    """The steps of a dataset as Prefect's tasks, to be used within a flow.

    `blocks` has the ids of documents that the run has saved, by server and name.
    """

    blocks: dict[str, Any]

    async def run(
        self,
        name: str,
        where: Where,
        function: Callable[..., T],
        *arguments: object,
        find: Callable[..., T | None] | None = None,
    ) -> T:
        """Run a step as `run_step` does."""
        return await run_step(name, where, function, *arguments, find=find)

    async def splitting(self, cache: Cache, *, refresh: bool) -> Submit:
        """Return what submits jobs as the task `split`, whose results are those of the cache."""
        storage = await asyncio.to_thread(cache_block, cache, self.blocks)
        task: Any = split.with_options(result_storage=storage, refresh_cache=refresh)

        def submit(name: str, jobs: Sequence[Job], after: Sequence[Submitted]) -> Submitted:
            parents = [each.future for each in after if isinstance(each, PrefectWork)]
            key = jobs_key(jobs)
            if len(jobs) > 1:
                storage.hold_together(key, [job.key for job in jobs])
            return PrefectWork(task.submit(name=name, key=key, jobs=quote(jobs), wait_for=parents or None))

        return submit

    def submit_apart(
        self,
        name: str,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        find: Callable[..., T | None] | None = None,
    ) -> Submitted:
        """Submit a step that runs in a process of its own."""
        return PrefectWork(step.submit(name, "apart", function, quote(arguments), find))
