"""The pages that a run leaves for people: a report beside each result, an index of them all; none fails a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cellstrata.configs.model import RunConfig
from cellstrata.flows.monitor.summary import DatasetSummary
from cellstrata.flows.steps import run_step
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.report.index import IndexRow
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import WrittenPage, write_index, write_report
from cellstrata.tasks.results.result import Finished


async def report_of_dataset(config: RunConfig, finished: Finished, run: RunFacts, cache: Cache) -> WrittenPage:
    """Write the report of a published result, where one is wanted; else the page has neither address nor problem."""
    if not config.report:
        return WrittenPage()
    arguments = (finished, run, config.images_url, cache, config.storage_options)
    page: WrittenPage = await run_step(f"{finished.source.name} · report", "here", write_report, *arguments)
    return page


async def index_of_run(config: RunConfig, datasets: Mapping[str, DatasetSummary]) -> WrittenPage:
    """Write the index of a run's reports, where they are wanted."""
    if not config.report:
        return WrittenPage()
    rows = [row_of(name, dataset) for name, dataset in datasets.items()]
    return await asyncio.to_thread(write_index, rows, config.images_url, config.storage_options)


def row_of(name: str, dataset: DatasetSummary) -> IndexRow:
    """Return what the index shows of a dataset."""
    return IndexRow(
        name=name,
        report=dataset.report or "",
        result=dataset.output or "",
        clusters=dataset.clusters,
        notices=dataset.notices,
        error=dataset.error or "",
    )
