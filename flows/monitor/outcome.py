"""What a run came to, in the words that Prefect's UI shows beside a state and in a run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from cellstrata.flows.monitor.progress import Progress

NAMES_SHOWN = 3  # datasets in the name of a run; further ones are counted
REASON = 300  # characters of each reason in a state's message


def run_name() -> str:
    """Name a run after its datasets: `cluster lung, blood`."""
    config = flow_run.parameters.get("config")
    datasets = config.get("DATASETS", {}) if isinstance(config, Mapping) else getattr(config, "selected", {})
    names = list(datasets)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"cluster {', '.join(names[:NAMES_SHOWN])}{more}".strip()


def splits_message(splits: Mapping[str, int]) -> str:
    """Say how many splits were computed, of how many: `12 of 310 splits computed, 298 from cache`."""
    computed, cached = splits.get("executed", 0), splits.get("cached", 0)
    if not computed:
        return f"nothing computed, all {cached:,} splits from cache" if cached else "nothing to compute"
    return f"{computed:,} of {computed + cached:,} splits computed, {cached:,} from cache"


def dataset_state(report: dict[str, Any]) -> State[dict[str, Any]]:
    """Return the state of a dataset's flow, with its report as the result."""
    return Completed(message=splits_message(report["splits"]), data=report)


def run_state(summary: dict[str, Any]) -> State[dict[str, Any]]:
    """Return the state of a whole run: failed if any of its datasets has, the others being finished all the same."""
    reports: Mapping[str, dict[str, Any]] = summary["datasets"]
    counts = {which: sum(report["splits"].get(which, 0) for report in reports.values()) for which in _COUNTED}
    failed = {name: str(report["error"]) for name, report in reports.items() if "error" in report}
    if failed:
        reasons = "; ".join(f"{name}: {error[:REASON]}" for name, error in failed.items())
        message = f"{len(failed)} of {len(reports)} inputs failed; {splits_message(counts)}. {reasons}"
        return Failed(message=message, data=summary)
    inputs = f"{len(reports)} inputs" if len(reports) != 1 else "1 input"
    return Completed(message=f"{inputs}: {splits_message(counts)}", data=summary)


_COUNTED = ("executed", "cached")


async def summary_of(state: State[Any]) -> dict[str, Any]:
    """Return a run's summary, also of one of which datasets have failed.

    Raises
    ------
    Exception
        Why the run as a whole has none.
    """
    found = await state.aresult(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    if not isinstance(found, dict):
        raise RuntimeError(state.message or f"the run ended as {state.name}")
    return found


def log_of(logger: Any, lines: int = 10) -> Callable[[Progress], None]:
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
