"""The flows: `cluster` maps over datasets and files, `cluster_dataset` over algorithms and resolutions.

Each reads like the picture in docs/design.md; the steps of one dataset are in `dataset`, what they compute in `tasks`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from prefect import flow, runtime
from prefect.client.schemas.objects import State

from cellstrata.configs.form.schema import FormConfig
from cellstrata.flows.all_datasets import all_datasets, of_one_file
from cellstrata.flows.dataset import DatasetSteps
from cellstrata.flows.embeddings import embeddings_beside
from cellstrata.flows.monitor.artifacts import LiveArtifacts, column_rows
from cellstrata.flows.monitor.outcome import run_name, run_state
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary
from cellstrata.flows.preparation import prepare, ready
from cellstrata.flows.reports import index_of_run
from cellstrata.flows.run import open_run
from cellstrata.tasks.inputs.file_tables import write_file_tables
from cellstrata.tasks.results.result import Finished
from cellstrata.tasks.timeline.run_record import write_run_record


@flow(name="cluster", flow_run_name=run_name, persist_result=False)
async def cluster(config: FormConfig) -> State[dict[str, object]]:
    """Cluster every file of every dataset of a configuration.

    Its result, which `summary_of` reads from the state, is `datasets`, by `dataset/file id`: `output`,
    `columns`, `splits`, `seconds` …, or `error` for those that failed; the others are finished all the
    same, and the state is Failed.

    Raises
    ------
    RunnerUnusable, UnusableInputs
        Before any work starts, with everything that is wrong with the runner, or in all datasets.
    """
    started = time.perf_counter()
    config = await asyncio.to_thread(ready, config, runtime.deployment.id is not None)
    with open_run(config) as run, run.computing():
        inputs = await asyncio.to_thread(prepare, run)
        await asyncio.to_thread(write_file_tables, config)  # not before all inputs are known to be good
        datasets = await all_datasets(run, inputs, cluster_dataset)
    index = await index_of_run(config, datasets)
    summary = RunSummary(
        datasets=datasets,
        index=index.url,
        index_written=index.written,
        notices=(index.problem,) if index.problem else (),
        seconds=round(time.perf_counter() - started, 3),
    )
    problem = await asyncio.to_thread(write_run_record, config, summary.document(), run.work)
    return run_state(replace(summary, notices=(*summary.notices, *([problem] if problem else []))))


@flow(name="cluster_dataset", flow_run_name="{dataset}/{file_id}", persist_result=False)
async def cluster_dataset(config: FormConfig, dataset: str, file_id: str) -> State[dict[str, object]]:
    """Cluster one file: embedding and graph, then every algorithm and resolution, then the result."""
    return await of_one_file(config, dataset, file_id, _through)


async def _through(steps: DatasetSteps) -> DatasetSummary:
    embeddings, graph = await steps.ground()
    async with LiveArtifacts(steps.name, steps.run.progress) as live:
        swept = () if steps.settings.listed_resolutions else await steps.sweep(embeddings, graph)
        trees = steps.trees(embeddings, graph, swept)
        umap = await steps.grow(trees, beside=steps.umap(embeddings, graph))
        trees, match = await steps.ended(trees)
        advice = await steps.advice(trees, swept)
        finished = Finished.of(steps.source, trees, graph, umap, embeddings, steps.run.config, advice, match)
        published = await steps.publish(finished)
        beside = await embeddings_beside(steps.run, finished, published, steps.cache)
        markers = await steps.markers(finished, published)
        pages = await steps.draw(finished, published, markers)
        links = pages.links(steps.source.output)
        await live.tell(column_rows(published, trees), links, pages.previews, advice)
    return replace(steps.end(published, pages, advice, markers), embeddings=beside)
