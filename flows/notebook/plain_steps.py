"""The steps of a dataset as they are: threads that look in the cache and wait for the executor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from cellstrata.flows.executors.executor import Executor
from cellstrata.flows.growth import WAITING
from cellstrata.flows.submission import RETRY_DELAYS, Submit, Submitted, Where, may_pass
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.parallel import at_once
from cellstrata.tasks.trees.entries import intact
from cellstrata.tasks.trees.jobs import Job, JobReport, run_job

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class PlainWork:
    """A call in a thread, whose result is what it came to and whether that was found in the cache."""

    future: Future[tuple[Any, bool]]

    @property
    def from_cache(self) -> bool:
        """Whether it was found."""
        return self.future.result()[1]

    def add_done_callback(self, callback: Callable[[PlainWork], object], /) -> None:
        """Have a function called with this when it has ended."""
        self.future.add_done_callback(lambda _: callback(self))

    async def failure(self) -> BaseException | str | None:
        """Return what was raised."""
        return self.future.exception()

    def result(self) -> Any:
        """Return what it came to."""
        return self.future.result()[0]


class PlainSteps:
    """Steps without Prefect: nothing is kept of them but what the cache keeps."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._threads = ThreadPoolExecutor(executor.at_once + WAITING, thread_name_prefix="cellstrata")

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def run(
        self,
        name: str,
        where: Where,
        function: Callable[..., T],
        *arguments: object,
        find: Callable[..., T | None] | None = None,
    ) -> T:
        """Run a step and return its result; `find`, called with the same arguments, may have it at hand."""
        found: T = (await asyncio.to_thread(again, self._step, where, function, arguments, find))[0]
        return found

    async def splitting(self, cache: Cache, *, refresh: bool) -> Submit:
        """Return what submits jobs; whatever the cache has of them is found, unless `refresh`."""

        def submit(name: str, jobs: Sequence[Job], after: Sequence[Submitted]) -> Submitted:
            return PlainWork(self._threads.submit(again, self._split, jobs, cache, refresh))

        return submit

    def submit_apart(
        self,
        name: str,
        function: Callable[..., T],
        arguments: tuple[Any, ...],
        find: Callable[..., T | None] | None = None,
    ) -> Submitted:
        """Submit a step that is not waited for."""
        return PlainWork(self._threads.submit(again, self._step, "apart", function, arguments, find))

    def _step(
        self,
        where: Where,
        function: Callable[..., T],
        arguments: tuple[object, ...],
        find: Callable[..., T | None] | None,
    ) -> tuple[T, bool]:
        found = find(*arguments) if find is not None else None
        if found is not None:
            return found, True
        if where == "here":
            return function(*arguments), False
        run = self._executor.run if where == "pool" else self._executor.run_apart
        return run(function, *arguments), False

    def _split(self, jobs: Sequence[Job], cache: Cache, refresh: bool) -> tuple[list[dict[str, object]], bool]:
        asked = [job for job in jobs if not (refresh or job.looked_up)]
        found = at_once(cache.store, lambda job: intact(cache, job.key), asked)
        records = {record.key: record for record in found if record is not None}
        reports = []
        for job in jobs:
            if job.key in records:
                reports.append(JobReport.of_cached(records[job.key]).to_json())
                continue
            report = self._executor.run(run_job, job)
            for entry in report.entries:
                job.cache.note(entry)
            reports.append(report.to_json())
        return reports, len(records) == len(jobs)


def again(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function, and again after a while where what failed may pass. Raises what it raises."""
    for delay in RETRY_DELAYS:
        try:
            return function(*arguments)
        except Exception as error:
            if not may_pass(error):
                raise
            time.sleep(delay)
    return function(*arguments)
