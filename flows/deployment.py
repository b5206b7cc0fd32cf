"""A configuration as deployments of a Prefect server: the clustering itself, and a watch over its inputs.

Applying one again changes the one that is there. The server keeps the configuration as the flow's one
parameter and checks it against the form's schema whenever a run is created.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.client.schemas.schedules import construct_schedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from cellstrata.configs.model import RunConfig
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.cluster import cluster
from cellstrata.flows.watch import watch
from cellstrata.tasks.imports.turns import IMPORTING

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
# A look that is due during another is not needed; those due while no worker was there would come all at once.
ONE_LOOK = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
PLACES = ("output_dir", "images", "cache", "read_cache")
UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
FAILED_STATES = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}


class CannotDeploy(ValueError):
    """What is asked for cannot be deployed; the message says why and what to do."""


@dataclass(frozen=True)
class When:
    """When runs begin by themselves: by cron, every so many seconds, or never."""

    cron: str | None = None
    interval: float | None = None
    timezone: str = "UTC"

    def schedules(self) -> list[object]:
        """Return what Prefect calls schedules: none or one.

        Raises
        ------
        CannotDeploy
            If cron or time zone are none.
        """
        if not self.cron and not self.interval:
            return []
        try:
            return [construct_schedule(interval=self.interval, cron=self.cron, timezone=self.timezone)]
        except ValueError as error:
            told = (
                str(error).splitlines()[-1]
                if not hasattr(error, "errors")
                else error.errors()[0]["msg"].removeprefix("Value error, ")
            )
            raise CannotDeploy(f"--schedule {self.cron or self.interval} ({self.timezone}): {told}") from None


@dataclass(frozen=True)
class Pool:
    """Where a worker finds the runs: a work pool, made if there is none of the name."""

    name: str = "cellstrata"
    type: str | None = None  # for a new one: process
    job_variables: Mapping[str, object] = field(default_factory=dict)


def parameter_of(config: RunConfig) -> dict[str, object]:
    """Return a configuration as a server keeps it: what was written, places on this machine with their whole path.

    Raises
    ------
    CannotDeploy
        If it holds a secret, which a server would store and show.
    """
    stored = config.model_dump(mode="json", exclude_unset=True)
    kept = config.model_dump(mode="python", exclude_unset=True)
    secret = [name for name in (*PLACES, "storage_options", "dask") if stored.get(name) != kept.get(name)]
    for name, dataset in config.DATASETS.items():
        places = dataset.input.clustering.items()
        secret += [f"DATASETS.{name}.input.clustering.{f}" for f, url in places if without_credentials(url) != url]
        earlier = dataset.clustering.match
        secret += [f"DATASETS.{name}.clustering.match"] if earlier and without_credentials(earlier) != earlier else []
    if secret:
        raise CannotDeploy(
            f"{', '.join(secret)}: holds a secret, and a Prefect server would store it; "
            "name a block (`storage_options: {s3: {block: aws-credentials/lab}}`) or a profile, or let the worker's "
            "environment hold it"
        )
    for name in PLACES:
        if stored.get(name):
            stored[name] = _whole(stored[name])
    for name, dataset in config.DATASETS.items():
        files = {file: _whole(url) for file, url in dataset.input.clustering.items()}
        stored["DATASETS"][name]["input"] = {"clustering": files}
        if dataset.clustering.match is not None:
            stored["DATASETS"][name]["clustering"]["match"] = _whole(dataset.clustering.match)
    return stored


def _whole(url: str) -> str:
    return url if "://" in url or "::" in url else os.path.abspath(os.path.expanduser(url))


def clustering(config: RunConfig, name: str, when: When, pool: Pool | None) -> RunnerDeployment:
    """Return the deployment of a configuration. Raises CannotDeploy."""
    inputs = ", ".join(f"{n} ({len(d.input.clustering)})" for n, d in config.selected.items())
    return RunnerDeployment.from_flow(
        cluster,
        name,
        description=f"Clusters {inputs} into `{_whole(config.output_dir)}`. Only what is not cached is computed.",
        parameters={"config": parameter_of(config)},
        **_common(config, when, pool),
        concurrency_limit=ONE_AT_A_TIME,
    )


def watching(config: RunConfig, name: str, when: When, pool: Pool | None) -> RunnerDeployment:
    """Return the deployment of the watch over a configuration's inputs, which runs `cluster/{name}`."""
    return RunnerDeployment.from_flow(
        watch,
        name,
        description=f"Starts cluster/{name} on the datasets of which an input has changed. Reads no data.",
        parameters={"config": parameter_of(config), "deployment": f"{cluster.name}/{name}"},
        **_common(config, when, pool),
        concurrency_limit=ONE_LOOK,
    )


def _common(config: RunConfig, when: When, pool: Pool | None) -> dict[str, Any]:
    return {
        "schedules": when.schedules(),
        "tags": ["cellstrata", *(f"dataset:{dataset}" for dataset in config.selected)],
        "work_pool_name": pool.name if pool else None,
        "job_variables": dict(pool.job_variables) if pool else None,
        # The package as it is installed where the worker runs: no checkout, no path.
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }


async def make_pool(pool: Pool) -> bool:
    """Make a work pool if there is none of its name; returns whether it was made.

    Raises
    ------
    CannotDeploy
        If there is one of another type.
    """
    async with get_client() as client:
        try:
            found = await client.read_work_pool(pool.name)
        except ObjectNotFound:
            kind = pool.type or "process"
            template: dict[str, object] = {}
            if kind == "process":
                with IMPORTING:
                    from prefect.workers.process import ProcessWorker

                template = ProcessWorker.get_default_base_job_template()
            await client.create_work_pool(WorkPoolCreate(name=pool.name, type=kind, base_job_template=template))
            return True
    if pool.type not in (None, found.type):
        raise CannotDeploy(f"the work pool {pool.name} is of type {found.type}, not {pool.type}: choose another --pool")
    return False


async def apply(deployment: RunnerDeployment, pool: Pool | None) -> str:
    """Create a deployment, or change the one of its name, schedules included; returns its id."""
    found = await deployment.aapply(work_pool_name=pool.name if pool else None)
    if not deployment.schedules:  # Prefect leaves those of before
        async with get_client() as client:
            for schedule in await client.read_deployment_schedules(found):
                await client.delete_deployment_schedule(found, schedule.id)
    return str(found)


async def crash_unfinished(names: Sequence[str]) -> list[str]:
    """Call the runs of deployments `Crashed` whose processes ended without a word; returns their names.

    They would stay `Running`, and hold their deployment's one slot.
    """
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNFINISHED))))
    lost = []
    async with get_client() as client:
        for name in names:
            deployment = await client.read_deployment_by_name(name)
            which = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
            for run in await client.read_flow_runs(flow_run_filter=running, deployment_filter=which):
                within = running.model_copy(update={"parent_flow_run_id": FlowRunFilterParentFlowRunId(any_=[run.id])})
                for one in [run, *await client.read_flow_runs(flow_run_filter=within)]:
                    await client.set_flow_run_state(one.id, Crashed(message="What served it was stopped."))
                lost.append(run.name)
    return lost


async def notify(name: str, deployment_id: str, block: str) -> None:
    """Have a failed run of a deployment told through a notification block, `slack-webhook/lab`; once, not twice.

    Raises
    ------
    CannotDeploy
        If there is no such block.
    """
    slug, _, block_name = block.partition("/")
    async with get_client() as client:
        try:
            document = await client.read_block_document_by_name(block_name, slug)
        except (ObjectNotFound, ValueError):
            hint = "make it in the UI under Blocks, or with `prefect block create`"
            raise CannotDeploy(f"--notify {block}: there is no such block on the server; {hint}") from None
        told = AutomationCore(
            name=f"cellstrata: {name} failed",
            description=f"Tells through {block} that a run of {name} has failed or crashed.",
            tags=["cellstrata"],
            trigger=EventTrigger(
                posture=Posture.Reactive,
                threshold=1,
                within=0,
                expect=FAILED_STATES,
                match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
                match_related=ResourceSpecification({"prefect.resource.id": f"prefect.deployment.{deployment_id}"}),
            ),
            actions=[
                SendNotification(
                    block_document_id=document.id,
                    subject=f"{name}: run {{{{ flow_run.name }}}} ended as {{{{ flow_run.state.name }}}}",
                    body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
                )
            ],
        )
        there = await client.read_automations_by_name(told.name)
        if there:
            await client.update_automation(there[0].id, told)
        else:
            await client.create_automation(told)
