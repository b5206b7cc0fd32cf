"""`cellstrata advise`: a sweep over resolutions, and which of them to take; no result is written."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.configs.loading.load import load_config
from cellstrata.configs.model import RunConfig
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.exit_codes import DONE, FAILED
from cellstrata.flows.commands.run import quiet_prefect, summary_or_code
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.flows.launch import Launch
from cellstrata.flows.monitor.summary import RunSummary
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.advice.candidates import JudgedResolution
from cellstrata.tasks.advice.sentence import number
from cellstrata.tasks.figures.advice_figure import advice_sheet
from cellstrata.tasks.figures.names import file_name


def advise(
    config_path: str, overrides: Sequence[str], as_json: bool, verbose: bool, quiet: bool = False, chart: str = ""
) -> int:
    """Sweep over the resolutions of a configuration's datasets; returns the exit code."""
    terminal = Terminal(as_json, verbose, quiet)
    with Attempt(terminal) as reading:
        config, notices = load_config(config_path, overrides)
    if reading.code:
        return reading.code
    for notice in notices:
        terminal.notice(notice)
    quiet_prefect(verbose)
    launch = Launch(with_evidence(config), terminal, signals=(signal.SIGINT, signal.SIGTERM), advises=True)
    summary, code = summary_or_code(launch, terminal, config_path, verbose)
    if summary is None:
        return code
    _tell(summary, terminal, chart)
    if as_json:
        print(json.dumps(summary.document()), flush=True)
    return FAILED if summary.failed else DONE


def with_evidence(config: RunConfig) -> RunConfig:
    """Return the configuration with evidence asked for in every dataset, so that embeddings are at hand.

    No column is kept from an input in the place of a resolution to look at: none is written.
    """
    datasets = {}
    for name, dataset in config.DATASETS.items():
        own = dataset.clustering
        asked = own.model_copy(update={"evidence": own.evidence or EvidenceConfig(), "overwrite": True})
        datasets[name] = dataset.model_copy(update={"clustering": asked})
    return config.model_copy(update={"DATASETS": datasets})


def _tell(summary: RunSummary, terminal: Terminal, chart: str) -> None:
    for name, dataset in summary.datasets.items():
        for notice in dataset.notices:
            terminal.notice(f"{name}: {notice}")
        if dataset.error is not None:
            terminal.failed(f"{name}: {dataset.error}")
        for advice in dataset.advice:
            terminal.show(f"[bold]{escape(name)}, {advice.algorithm}[/bold]", _table(advice), escape(advice.said))
            if chart:
                terminal.show(f"chart   {escape(_drawn(advice, name, chart))}")


def _table(advice: Advice) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for at, row in enumerate(advice.resolutions):
        cells = _cells(advice, row)
        for name in cells if not at else ():
            table.add_column(name, justify="right" if name else "left")
        table.add_row(*cells.values())
    return table


def _cells(advice: Advice, row: JudgedResolution) -> dict[str, str]:
    """Return a row of the table, by the names of its columns."""
    return {
        "resolution": number(row.resolution),
        "clusters": f"{row.n_clusters:,}",
        "": advice.verdict(row) or (row.reason or "").partition(":")[0],
        "replicability": _two(row.replicability),
        "recovered": _two(row.recovered),
        "of a cloud": _two(row.expected),
        "p": "" if row.p is None else f"{row.p:.2g}",
        "stability": _two(row.stability),
        "best by modularity": _range(row),
    }


def _range(row: JudgedResolution) -> str:
    if row.best_from is None:
        return ""
    return f"{row.best_from:.2f} to {row.best_to:.2f}" if row.best_to is not None else f"from {row.best_from:.2f}"


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:z.2f}"


def _drawn(advice: Advice, name: str, folder: str) -> str:
    """Draw the sweep's chart, and return where."""
    path = Path(folder) / f"{file_name(name.replace('/', '--'))}--{advice.algorithm}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(advice_sheet(advice, name).png())
    return str(path)
