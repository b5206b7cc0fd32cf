"""The flows: `cluster` maps over datasets and files, `cluster_dataset` over algorithms and resolutions.

Each reads like the picture in docs/design.md; the steps of one dataset are in `dataset`, what they compute in `tasks`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Annotated, Any

from prefect import flow, runtime, tags
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.task_runners import ThreadPoolTaskRunner

from cellstrata.configs.form.schema import AsForm
from cellstrata.configs.model import RunConfig
from cellstrata.flows.dataset import WAITING, DatasetSteps
from cellstrata.flows.monitor.artifacts import LiveArtifacts, column_rows
from cellstrata.flows.monitor.outcome import dataset_state, run_name, run_state
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary
from cellstrata.flows.preparation import prepare, ready
from cellstrata.flows.reports import index_of_run
from cellstrata.flows.run import Run, open_run
from cellstrata.tasks.cache.leases import using
from cellstrata.tasks.inputs.file_tables import write_file_tables
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.results.result import Finished

AT_ONCE = 32  # datasets: each has threads of its own, which wait for the workers


@flow(name="cluster", flow_run_name=run_name, persist_result=False)
async def cluster(config: Annotated[RunConfig, AsForm()]) -> State[dict[str, object]]:
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
        datasets = await _all_datasets(run)
    index = await index_of_run(config, datasets)
    return run_state(
        RunSummary(
            datasets=datasets,
            index=index.url,
            index_written=index.written,
            notices=(index.problem,) if index.problem else (),
            seconds=round(time.perf_counter() - started, 3),
        )
    )


async def _all_datasets(run: Run) -> dict[str, DatasetSummary]:
    config, at_once = run.config, run.executor.at_once
    inputs = await asyncio.to_thread(prepare, run)
    await asyncio.to_thread(write_file_tables, config)
    runner: Any = ThreadPoolTaskRunner(max_workers=at_once + WAITING)
    beside = asyncio.Semaphore(min(max(2, at_once), AT_ONCE))

    async def one(source: Input) -> State[Any]:
        async with beside:
            with tags(f"dataset:{source.dataset}", f"runner:{config.runner}"):
                child = cluster_dataset.with_options(task_runner=runner)
                return await child(config, source.dataset, source.file_id, return_state=True)

    with using(run.open_cache()):
        states = await asyncio.gather(*map(one, inputs.values()))
    return {name: await _summary(state) for name, state in zip(inputs, states, strict=True)}


@flow(name="cluster_dataset", flow_run_name="{dataset}/{file_id}", persist_result=False)
async def cluster_dataset(config: RunConfig, dataset: str, file_id: str) -> State[dict[str, object]]:
    """Cluster one file: embedding and graph, then every algorithm and resolution, then the result."""
    with TagsContext(current_tags=set()):  # for each tag of a task run Prefect asks its server for a slot
        config = await asyncio.to_thread(ready, config)
        with open_run(config) as run, run.computing():
            steps = await DatasetSteps.begin(run, dataset, file_id)
            with contextlib.closing(steps.source.opened):
                return dataset_state(await _through(steps))


async def _through(steps: DatasetSteps) -> DatasetSummary:
    embeddings = await steps.embeddings()
    graph = await steps.graph(embeddings)
    trees = steps.trees(embeddings, graph)
    async with LiveArtifacts(steps.name, steps.run.progress) as live:
        umap = await steps.grow(trees, beside=steps.umap(embeddings, graph))
        trees = [tree.ended() for tree in trees]
        finished = Finished.of(steps.source, trees, graph, umap, embeddings, steps.run.config)
        published = await steps.publish(finished)
        pages = await steps.draw(finished, published)
        await live.tell(column_rows(published, trees), pages.links(steps.source.output), pages.previews)
    return steps.end(published, pages)


async def _summary(state: State[Any]) -> DatasetSummary:
    """What a dataset came to: its flow's result, or the reason why it has none."""
    if state.is_completed():
        return DatasetSummary.from_json(await state.aresult())
    error: object = await state.aresult(raise_on_failure=False)
    said = (str(error) or repr(error)) if isinstance(error, BaseException) else str(state.message)
    return DatasetSummary(error=said)
