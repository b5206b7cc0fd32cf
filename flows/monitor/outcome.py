"""What a run came to, in the words that Prefect's UI shows beside a state and in a run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from cellstrata.configs.errors import listed
from cellstrata.flows.monitor.progress import Counts, Progress
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary

NAMES_SHOWN = 3  # datasets in the name of a run; further ones are counted
REASON = 300  # characters of each reason in a state's message


class Logger(Protocol):
    """What writes a line of a log, as Python's loggers and Prefect's do."""

    def log(self, level: int, msg: str, /, *args: object) -> None:
        """Write a line."""


def run_name() -> str:
    """Name a run after its flow and its datasets: `cluster lung, blood`."""
    config = flow_run.parameters.get("config")
    datasets = config.get("DATASETS", {}) if isinstance(config, Mapping) else getattr(config, "selected", {})
    names = list(datasets)
    return f"{flow_run.flow_name} {listed(names, NAMES_SHOWN)}".strip()


def splits_message(splits: Counts) -> str:
    """Say how many splits were computed, of how many: `12 of 310 splits computed, 298 from cache`."""
    computed, cached = splits.executed, splits.cached
    if not computed:
        return f"nothing computed, all {cached:,} splits from cache" if cached else "nothing to compute"
    return f"{computed:,} of {computed + cached:,} splits computed, {cached:,} from cache"


def dataset_state(summary: DatasetSummary) -> State[dict[str, object]]:
    """Return the state of a dataset's flow, with its summary, as JSON, as the result."""
    return Completed(message=splits_message(summary.splits), data=summary.to_json())


def run_state(summary: RunSummary) -> State[dict[str, object]]:
    """Return the state of a whole run: failed if any of its datasets has, the others being finished all the same."""
    datasets, data = summary.datasets, summary.to_json()
    splits = [dataset.splits for dataset in datasets.values()]
    counts = Counts(sum(each.executed for each in splits), sum(each.cached for each in splits))
    failed = {name: datasets[name].error or "" for name in summary.failed}
    if failed:
        reasons = "; ".join(f"{name}: {error[:REASON]}" for name, error in failed.items())
        message = f"{len(failed)} of {len(datasets)} inputs failed; {splits_message(counts)}. {reasons}"
        return Failed(message=message, data=data)
    inputs = f"{len(datasets)} inputs" if len(datasets) != 1 else "1 input"
    return Completed(message=f"{inputs}: {splits_message(counts)}", data=data)


async def summary_of(state: State[Any]) -> RunSummary:
    """Return a run's summary, also of one of which datasets have failed.

    Raises
    ------
    Exception
        Why the run as a whole has none.
    """
    found: object = await state.aresult(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    if not isinstance(found, dict):
        raise RuntimeError(state.message or f"the run ended as {state.name}")
    return RunSummary.from_json(found)


def log_of(logger: Logger, lines: int = 10) -> Callable[[Progress], None]:
    """Return what writes a dataset's progress to its flow run's log, ten lines for a run of any size."""
    logged = 0

    def log(progress: Progress) -> None:
        nonlocal logged
        due = lines * progress.settled // progress.total if progress.total else lines
        if due > logged:
            logged = due
            counts = progress.counts
            logger.log(
                logging.INFO, "%s: %.0f %% of the cells' levels settled, %d splits computed, %d from cache",
                progress.dataset, 100 * due / lines, counts.executed, counts.cached,
            )  # fmt: skip

    return log
