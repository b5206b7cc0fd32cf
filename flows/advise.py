"""The flow `advise`: of every file a sweep over the resolutions of level 1, and nothing but what is advised of them."""

from __future__ import annotations

import asyncio
import time

from prefect import flow
from prefect.client.schemas.objects import State

from cellstrata.configs.form.schema import FormConfig
from cellstrata.configs.model import RunConfig
from cellstrata.flows.all_datasets import all_datasets, of_one_file
from cellstrata.flows.dataset import DatasetSteps
from cellstrata.flows.monitor.artifacts import LiveArtifacts
from cellstrata.flows.monitor.outcome import run_name, run_state
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary
from cellstrata.flows.preparation import prepare, ready
from cellstrata.flows.run import open_run


@flow(name="advise", flow_run_name=run_name, persist_result=False)
async def advise(config: FormConfig) -> State[dict[str, object]]:
    """Sweep over the resolutions of every file of every dataset; no result is written.

    Its result is that of the flow `cluster`, each dataset with its `advice` and without places. What is split is in
    the cache for the run that follows.

    Raises
    ------
    RunnerUnusable, UnusableInputs
        Before any work starts, with everything that is wrong with the runner, or in all datasets.
    """
    started = time.perf_counter()
    config = await asyncio.to_thread(ready, config)
    with open_run(config) as run, run.computing():
        inputs = await asyncio.to_thread(prepare, run)
        datasets = await all_datasets(run, inputs, advise_dataset)
    return run_state(RunSummary(datasets=datasets, seconds=round(time.perf_counter() - started, 3)))


@flow(name="advise_dataset", flow_run_name="{dataset}/{file_id}", persist_result=False)
async def advise_dataset(config: RunConfig, dataset: str, file_id: str) -> State[dict[str, object]]:
    """Sweep over the resolutions of one file."""
    return await of_one_file(config, dataset, file_id, _through)


async def _through(steps: DatasetSteps) -> DatasetSummary:
    embeddings, graph = await steps.ground()
    async with LiveArtifacts(steps.name, steps.run.progress) as live:
        advice = await steps.sweep(embeddings, graph)
        await live.tell([], {}, {}, advice)
    return steps.advised(advice)
