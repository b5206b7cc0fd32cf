"""The flow `watch`: asks stores whether inputs have changed, and has the clustering run on those that have.

It reads no data. What it saw last is kept in Prefect's variables, one a dataset, so that any worker
can go on where another has stopped; where there is none yet, the dataset is run once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.deployments.flow_runs import arun_deployment
from prefect.states import Completed
from prefect.variables import Variable

from cellstrata.configs.form.schema import FormConfig
from cellstrata.configs.model import RunConfig
from cellstrata.flows.preparation import ready
from cellstrata.tasks.stores.change_mark import input_state
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.places import Place

PREFIX = "cellstrata_watch_"


@flow(name="watch", flow_run_name="watch {deployment}", persist_result=False)
async def watch(config: FormConfig, deployment: str, settle: float = 5.0) -> State[dict[str, list[str]]]:
    """Start a run of `deployment` (`cluster/atlas`) on the datasets of which an input has changed.

    An input that still changes within `settle` seconds is being written: it is left to the next time.
    One that is gone starts nothing, and is said in the log.
    """
    logger = get_run_logger()
    stored = config.model_dump(mode="json", exclude_unset=True)  # as it was written: globs, and no credentials
    config = await asyncio.to_thread(ready, config)
    before = {name: await _seen(deployment, name) for name in config.selected}
    now = await asyncio.to_thread(_states, config)
    changed = [name for name, found in now.items() if None not in found.values() and _digest(found) != before[name]]
    if changed and settle:
        await asyncio.sleep(settle)
        again = await asyncio.to_thread(_states, config, changed)
        for name in [name for name in changed if again[name] != now[name]]:
            logger.info("%s is still being written", name)
            changed.remove(name)
    for dataset, files in now.items():
        for gone in [file for file, state in files.items() if state is None]:
            logger.warning("%s/%s is not there: %s", dataset, gone, config.DATASETS[dataset].input.clustering[gone])
    if changed:
        await _start(stored, deployment, changed)
        for name in changed:  # after the run was created: at worst it is created twice
            await _remember(deployment, name, now[name])
    said = f"changed: {', '.join(changed)}" if changed else f"none of {len(now)} datasets changed"
    return Completed(message=said, data={"changed": changed})


def of_datasets(stored: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Return a configuration as a deployment keeps it, narrowed to some of its datasets."""
    defaults = stored.get("defaults") or {}
    return {**stored, "defaults": {**defaults, "datasets": names}}


async def _start(stored: Mapping[str, object], deployment: str, names: list[str]) -> None:
    run = await arun_deployment(
        deployment, parameters={"config": of_datasets(stored, names)}, timeout=0, as_subflow=False,
        tags=["cellstrata", "watched", *(f"dataset:{name}" for name in names)],
    )  # fmt: skip
    get_run_logger().info("started %s on %s: an input has changed", run.name, ", ".join(names))


def _states(config: RunConfig, names: list[str] | None = None) -> dict[str, dict[str, str | None]]:
    return {
        name: {file: input_state(Place(url, config.storage_options)) for file, url in dataset.input.clustering.items()}
        for name, dataset in config.selected.items()
        if names is None or name in names
    }


def _digest(files: Mapping[str, str | None]) -> str:
    return digest_values(kind="watched", files=dict(files))


def _variable(deployment: str, dataset: str) -> str:
    return PREFIX + digest_values(kind="watch", deployment=deployment, dataset=dataset)[:16].lower()


async def _seen(deployment: str, dataset: str) -> str | None:
    found: Any = await Variable.aget(_variable(deployment, dataset))
    return found.get("files") if isinstance(found, dict) else None


async def _remember(deployment: str, dataset: str, files: Mapping[str, str | None]) -> None:
    value: Any = {"deployment": deployment, "dataset": dataset, "files": _digest(files)}
    await Variable.aset(_variable(deployment, dataset), value, tags=["cellstrata"], overwrite=True)
