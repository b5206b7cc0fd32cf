"""The pages that a run leaves for people: a report beside each result, an index of them all; none fails a run."""

from __future__ import annotations

import asyncio
from typing import Any

from cellstrata.configs.model import RunConfig
from cellstrata.flows.steps import run_step
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.report.index import entry_of
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import write_index, write_report
from cellstrata.tasks.results.result import Finished

Told = tuple[dict[str, Any], list[str]]


async def report_of_dataset(config: RunConfig, finished: Finished, run: RunFacts, cache: Cache) -> Told:
    """Write the report of a published result, where one is wanted.

    Returns `report`, its address, and `report_written`, or nothing; and what the user should know.
    """
    if not config.report:
        return {}, []
    arguments = (finished, run, config.images_url, cache, config.storage_options)
    return _told(await run_step(f"{finished.source.name} · report", "here", write_report, *arguments))


async def index_of_run(config: RunConfig, reports: dict[str, dict[str, Any]]) -> Told:
    """Write the index of a run's reports, where they are wanted; returns `index` and `index_written` as above."""
    if not config.report:
        return {}, []
    entries = [entry_of(name, report) for name, report in reports.items()]
    return _told(await asyncio.to_thread(write_index, entries, config.images_url, config.storage_options))


def _told(found: dict[str, Any]) -> Told:
    problem = found.pop("problem", None)
    return found, [problem] if problem else []
