"""A flow for each file of each dataset, several at a time, and what the flow of a file begins and ends with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prefect import tags
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.task_runners import ThreadPoolTaskRunner

from cellstrata.configs.model import RunConfig
from cellstrata.flows.dataset import DatasetSteps
from cellstrata.flows.growth import WAITING
from cellstrata.flows.monitor.outcome import dataset_state
from cellstrata.flows.monitor.summary import DatasetSummary
from cellstrata.flows.preparation import ready
from cellstrata.flows.run import Run, open_run
from cellstrata.tasks.inputs.inspection import Input

AT_ONCE = 32  # datasets: each has threads of its own, which wait for the workers


async def all_datasets(run: Run, inputs: Mapping[str, Input], child: Any) -> dict[str, DatasetSummary]:
    """Run a flow for every input, and return what each came to, by `dataset/file id`."""
    config, at_once = run.config, run.executor.at_once
    waiting: Any = ThreadPoolTaskRunner(max_workers=at_once + WAITING)  # threads of each file's run alone
    of_file = child.with_options(task_runner=waiting)
    beside = asyncio.Semaphore(min(max(2, at_once), AT_ONCE))

    async def one(source: Input) -> State[Any]:
        async with beside:
            with tags(f"dataset:{source.dataset}", f"runner:{config.runner}"):
                state: State[Any] = await of_file(config, source.dataset, source.file_id, return_state=True)
                return state

    states = await asyncio.gather(*map(one, inputs.values()))
    return {name: await _summary(state) for name, state in zip(inputs, states, strict=True)}


async def of_one_file(
    config: RunConfig, dataset: str, file_id: str, through: Callable[[DatasetSteps], Awaitable[DatasetSummary]]
) -> State[dict[str, object]]:
    """Take one file through its steps, within the run that is open or one of its own."""
    with TagsContext(current_tags=set()):  # for each tag of a task run Prefect asks its server for a slot
        config = await asyncio.to_thread(ready, config)
        with open_run(config) as run, run.computing():
            steps = await DatasetSteps.begin(run, dataset, file_id)
            with contextlib.closing(steps.source.opened):
                return dataset_state(await through(steps))


async def _summary(state: State[Any]) -> DatasetSummary:
    """What a dataset came to: its flow's result, or the reason why it has none."""
    if state.is_completed():
        return DatasetSummary.from_json(await state.aresult())
    error: object = await state.aresult(raise_on_failure=False)
    said = (str(error) or repr(error)) if isinstance(error, BaseException) else str(state.message)
    return DatasetSummary(error=said)
