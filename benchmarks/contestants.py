"""The contestants: our command cold and warm, the ancestor's way, and the bare loop; each as a row."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.agreement import agreement
from benchmarks.measure import Measured, measure

BARE, ANCESTOR, BEFORE = "bare loop", "ancestor's way", "before"
Run: TypeAlias = tuple[str, Measured, dict[str, Any]]  # what ran, what it took, and facts about it
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """What all are asked for: a file, its embedding, resolutions, levels, and obs columns of known labels."""

    path: str
    use_rep: str = "X_pca"
    resolutions: tuple[float, ...] = (0.2, 0.5, 1.0)
    depth: int = 3
    n_neighbors: int = 15
    labels: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)  # further keys of a dataset's `clustering`
    ensemble: int | str = 1  # runs of Leiden: the others make one

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).stem

    def config(self, place: Path, checkout: Path | None = None) -> Path:
        """Write the task as a configuration whose output and cache are below `place`, for a checkout of old, too."""
        clustering = {
            "algorithm": "leiden",
            "resolutions": list(self.resolutions),
            "hierarchy": self.depth,
            "recompute_neighbors": True,
            "neighbors": {"use_rep": self.use_rep, "n_neighbors": self.n_neighbors},
            **({} if is_old(checkout) else {"ensemble": self.ensemble}),
            **self.more,
        }
        datasets = {"data": {"input": {"clustering": {"file": self.path}}, "clustering": clustering}}
        document = {"output_dir": f"{place}/out", "cache": f"{place}/cache", "DATASETS": datasets}
        path = place / "config.yaml"
        path.write_text(json.dumps(document))
        return path


def in_turn(task: Task, server: str, home: str, repeat: int, against: Path | None = None) -> list[dict[str, Any]]:
    """The bare loop, and our command cold and warm, with the running `server` and with its own.

    `against` is another checkout of this repository, whose command takes its turn too. All are run once, then all
    again, `repeat` times: the speed of a machine drifts within minutes.
    """
    runs: dict[str, list[Measured]] = {}
    facts: dict[str, dict[str, Any]] = {}

    def once() -> Iterator[Run]:
        yield from _bare_loop(task)
        for running in (server, None):
            yield from _ours(task, running, home)
            if against is not None:
                for what, run, found in _ours(task, running, f"{home}-before", against):
                    yield f"{what}, {BEFORE}", run, found

    for _ in range(repeat):
        for what, run, found in once():
            runs.setdefault(what, []).append(run)
            facts[what] = found
    return [row(task.name, what, measured, **facts[what]) for what, measured in runs.items()]


def _bare_loop(task: Task) -> Iterator[Run]:
    """The bare loop in one process on one core."""
    arguments = [task.path, task.use_rep, json.dumps(task.resolutions), str(task.depth), str(task.n_neighbors)]
    run = measure([sys.executable, "-m", "benchmarks.bare_loop", *arguments], os.environ | SINGLE)
    facts = json.loads(run.stdout)
    yield BARE, run, {"splits": facts["splits"], "modularity": facts["modularity"]}


def _ours(task: Task, server: str | None, home: str, checkout: Path | None = None) -> Iterator[Run]:
    """Our command, cold and warm; `server` is that of a running one, None for our own; `checkout` another's."""
    with tempfile.TemporaryDirectory() as folder:
        config = task.config(Path(folder), checkout)
        for what in ("cold", "warm"):
            run, document = command(config, server, home, checkout)
            report = document["datasets"]["data/file"]
            facts = {"splits": report["splits"], "agreement": agreement(report["labels"], task.path, task.labels)}
            facts |= {"modularity": report.get("modularity", {}), "flow": report["seconds"]}
            yield f"{what}, {'server running' if server else 'own server'}", run, facts


def ancestor(task: Task) -> dict[str, Any]:
    """The ancestor's way, once."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--use_rep", task.use_rep, "--depth", str(task.depth), "--n_neighbors", str(task.n_neighbors)]
        resolutions = ["--resolutions", *map(str, task.resolutions)]
        command = [sys.executable, "-m", "benchmarks.ancestor", task.path, folder, *options, *resolutions]
        run = measure(command, dict(os.environ))
        printed = json.loads(run.stdout.splitlines()[-1])
        found = agreement(printed["labels"], task.path, task.labels)
        return row(task.name, ANCESTOR, [run], modularity=printed["modularity"], agreement=found)


def command(
    config: Path, server: str | None, home: str, checkout: Path | None = None
) -> tuple[Measured, dict[str, Any]]:
    """Run `cellstrata run` on a configuration; returns the measurement and its JSON document.

    `checkout` is another checkout of this repository, whose code is run by the same Python.
    """
    environment = os.environ | {"PREFECT_HOME": home}
    environment.pop("PREFECT_API_URL", None)
    python, module = [sys.executable], "cellstrata.flows.commands.command"
    if checkout is not None:
        old = is_old(checkout)
        environment["PYTHONPATH"] = str(checkout.resolve() / ("" if old else "src"))
        if old:  # its own processes find it where they are started
            python, module = ["env", "-C", str(checkout.resolve()), sys.executable], "flows.command"
    if server:
        environment["PREFECT_API_URL"] = server
    run = measure([*python, "-m", module, "run", str(config), "--json"], environment)
    return run, json.loads(run.stdout.splitlines()[-1])


def is_old(checkout: Path | None) -> bool:
    """Tell whether a checkout is of before the package had a name of its own; such knew of no ensembles."""
    return checkout is not None and not (checkout / "src").exists()


def row(data: str, what: str, runs: list[Measured], **facts: Any) -> dict[str, Any]:
    """Return a row of the table: medians, and every wall time."""
    middle = {
        name: round(statistics.median(getattr(run, name) for run in runs), 2) for name in ("wall", "cpu", "peak_mb")
    }
    return {"data": data, "what": what, **middle, "walls": [round(run.wall, 2) for run in runs], **facts}
