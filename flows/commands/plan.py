"""`cellstrata plan`: what a run would compute and what comes from the cache, without running."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape
from rich.table import Table

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.loading.load import load_config
from cellstrata.configs.model import RunConfig
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.flows.preparation import UnusableInputs, prepare, ready
from cellstrata.flows.run import open_run
from cellstrata.tasks.forecast.inputs import InputForecast, forecast_input
from cellstrata.tasks.forecast.split_times import SplitTimes, past_records
from cellstrata.tasks.forecast.trees import LevelForecast, Seen, TreeForecast
from cellstrata.tasks.kernels.engines import LOCKING
from cellstrata.tasks.stores.data_errors import DataError

TEXT = ("dataset", "what", "left\nwhole")
COLUMNS = ("dataset", "what", "level", "from\ncache", "to\ncompute", "cells to\ncompute", "cells\nunknown",
           "left\nwhole", "seconds")  # fmt: skip
ROUGH = "no past splits: rough"


def plan(config_path: str, overrides: Sequence[str], as_json: bool, verbose: bool = False) -> int:
    """Say what a run of this configuration would do; returns the exit code.

    Inputs are inspected as a run does, and what is read of them is kept in the cache for the run.
    Nothing else is written, and no server is needed.
    """
    terminal = Terminal(as_json, verbose)
    with Attempt(
        terminal, interrupted="interrupted", wrong=(ConfigError, DataError, UnusableInputs), verbose=verbose
    ) as attempt:
        config, notices = load_config(config_path, overrides)
        for notice in notices:
            terminal.notice(notice)
        config = ready(config)
        inputs, times = _forecast(config, terminal)
    if attempt.code:
        return attempt.code
    total = _total(config, inputs, times)
    for name, forecast in inputs.items():
        for notice in forecast.notices:
            terminal.notice(f"{name}: {notice}")
    terminal.show(_table(inputs), _in_words(total))
    if as_json:
        documents = {name: forecast.to_json() for name, forecast in inputs.items()}
        print(json.dumps({"datasets": documents, "total": asdict(total)}), flush=True)
    return DONE


def _forecast(config: RunConfig, terminal: Terminal) -> tuple[dict[str, InputForecast], SplitTimes]:
    """Forecast every file of every dataset, in the order of the configuration.

    Raises
    ------
    UnusableInputs, DataError
        If the run would refuse its inputs.
    """
    with open_run(config) as run, terminal.status("inspecting the inputs") as say:
        inputs = prepare(run, lambda name: say(f"inspecting {name}"))
        cache, seen = run.open_cache().for_run(), Seen()
        say("looking into the cache")
        times = SplitTimes.of(past_records(cache))
        return {name: forecast_input(config, source, cache, times, seen) for name, source in inputs.items()}, times


@dataclass(frozen=True, kw_only=True)
class Total:
    """What a whole run would do: splits that are found and computed, and cells.

    `seconds` are those of one core, `wall_seconds` those of this run's workers; `basis` says what they are
    guessed from.
    """

    nothing_to_compute: bool
    from_cache: int
    to_compute: int
    to_compute_cells: int
    unknown_cells: int
    seconds: float
    wall_seconds: float
    workers: int
    past_splits: int
    basis: str


def _total(config: RunConfig, inputs: dict[str, InputForecast], times: SplitTimes) -> Total:
    """Add everything up."""
    levels = [level for one in inputs.values() for tree in one.trees for level in tree.levels.values()]
    work = sum(one.seconds for one in inputs.values())
    longest = max((one.chain for one in inputs.values()), default=0.0)
    one_by_one = config.runner == "threads" and config.engines & LOCKING
    at_once = 1 if one_by_one else config.worker_count
    return Total(
        nothing_to_compute=not any(one.computes for one in inputs.values()),
        from_cache=sum(level.cached for level in levels),
        to_compute=sum(level.to_compute for level in levels),
        to_compute_cells=sum(level.to_compute_cells for level in levels),
        unknown_cells=sum(level.unknown_cells for level in levels),
        seconds=round(work, 3),
        wall_seconds=round(max(work / at_once, longest), 3),
        workers=config.worker_count,
        past_splits=times.n_splits,
        basis=ROUGH if times.rough else f"as {times.n_splits:,} past splits took",
    )


def _in_words(total: Total) -> str:
    if total.nothing_to_compute:
        return f"nothing to compute: {total.from_cache:,} splits come from the cache"
    within = f", {_duration(total.wall_seconds)} with {total.workers} workers" if total.workers > 1 else ""
    work = f"about {_duration(total.seconds)} of work{within}"
    return f"{work} ({total.basis}), besides starting and writing results"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _table(inputs: dict[str, InputForecast]) -> Table:
    """Lay out a row for each step, and for each level of each tree."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    widest = min(24, max(map(len, inputs), default=0))
    for name in COLUMNS:
        folds = name in ("dataset", "left\nwhole")
        table.add_column(
            name, justify="left" if name in TEXT else "right", overflow="fold", no_wrap=not folds,
            min_width=widest if name == "dataset" else None,
        )  # fmt: skip
    for name, forecast in inputs.items():
        for row in _rows(forecast):
            table.add_row(escape(name), *row)
    return table


def _rows(forecast: InputForecast) -> Iterator[list[str]]:
    for step in forecast.steps:
        cells, what = _number(step.n_cells), {"cached": (1, 0), "compute": (0, 1), "unknown": (0, 0)}[step.state]
        where = {"cached": ["", ""], "compute": [cells, ""], "unknown": ["", cells]}[step.state]
        yield [step.name, "", *map(_number, what), *where, "", f"{step.seconds:.1f}" if step.computes else ""]
    for tree in forecast.trees:
        yield from _tree_rows(tree)


def _tree_rows(tree: TreeForecast) -> Iterator[list[str]]:
    what = f"{'sweep, ' if tree.sweeps else ''}{tree.algorithm} {tree.resolution}"
    for level in range(1, tree.kept + 1):
        yield [what, str(level), "kept", "", "", "", "", ""]
    for forecast in tree.levels.values():
        if tree.ends_by_itself and forecast.level > 1 and not (forecast.cached or forecast.to_compute):
            continue
        yield [what, str(forecast.level), *_level_cells(forecast)]


def _level_cells(level: LevelForecast) -> list[str]:
    whole = ", ".join(f"{count:,} {reason}" for reason, count in sorted(level.whole.items()))
    counts = (level.cached, level.to_compute, level.to_compute_cells, level.unknown_cells)
    if level.evidence_to_gather:
        told = f"{level.evidence_to_gather:,} without evidence yet"
        whole = ", ".join(filter(None, [whole, told]))
    if level.markers_to_find:
        whole = ", ".join(filter(None, [whole, f"{level.markers_to_find:,} without markers of children yet"]))
    return [*map(_number, counts), whole, f"{level.seconds:.1f}" if level.computes else ""]


def _number(count: int) -> str:
    return f"{count:,}" if count else ""
