"""Runs of the soak: what is asked, at random; the command that does it; and how its result is looked at."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

RUN = [sys.executable, "-m", "cellstrata", "run"]
LONGEST = 900  # seconds of a run, after which it hangs
MARK = "SOAK_MARK"  # in the environment of all that a soak starts


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run is asked for. `place` is `disk` or `bucket`: where its cache and results lie."""

    data: str
    place: str
    runner: str
    workers: int
    grain: int | None
    algorithm: str
    engine: str
    resolutions: tuple[float, ...]
    hierarchy: int
    ensemble: int | str
    evidence: bool
    markers: bool

    @property
    def of_labels(self) -> str:
        """Name what decides its labels: runs of one name have the same."""
        said = asdict(self)
        return json.dumps({name: said[name] for name in (
            "data", "algorithm", "engine", "resolutions", "hierarchy", "ensemble")})  # fmt: skip

    def document(self, data: str, output: str, cache: str) -> dict[str, Any]:
        """Return the configuration."""
        clustering: dict[str, Any] = {
            "algorithm": self.algorithm, "engine": self.engine, "resolutions": list(self.resolutions),
            "hierarchy": self.hierarchy, "recompute_neighbors": True, "neighbors": {"use_rep": "X_pca"},
            "ensemble": self.ensemble,
        }  # fmt: skip
        if self.evidence:
            clustering["evidence"] = {"halves": 2, "null": 2}
        if self.markers:
            clustering["markers"] = True
        datasets = {"d": {"input": {"clustering": {"f": data}}, "clustering": clustering}}
        document = {"output_dir": output, "cache": cache, "runner": self.runner, "workers": self.workers,
                    "DATASETS": datasets}  # fmt: skip
        return document if self.grain is None else {**document, "grain": self.grain}


def at_random(rng: random.Random, data: Sequence[str], places: Sequence[str]) -> Asked:
    """Draw what a run is asked for; each thing from few, so that runs share what they compute."""
    algorithm = rng.choice(["leiden", "leiden", "leiden", "louvain"])
    return Asked(
        data=rng.choice(data), place=rng.choice(places),
        runner=rng.choice(["processes", "processes", "threads", "dask"]), workers=rng.choice([1, 2, 3]),
        grain=rng.choice([None, 100, 1000]), algorithm=algorithm,
        engine=rng.choice(["cellstrata", "cellstrata", "igraph"]),
        resolutions=tuple(sorted(rng.sample([0.2, 0.5, 1.0], rng.choice([1, 2])))), hierarchy=rng.choice([1, 2, 3]),
        ensemble=rng.choice([1, 4, "auto"]) if algorithm == "leiden" else 1, evidence=rng.random() < 0.25,
        markers=rng.random() < 0.25,
    )  # fmt: skip


class Running:
    """A run that was started; its output goes to files."""

    def __init__(
        self, config: Path, environment: Mapping[str, str], python: Sequence[str] = (), limit: int = 0
    ) -> None:
        self._out, self._err = config.with_suffix(".out"), config.with_suffix(".err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*(python or RUN), str(config), "--json"], env=dict(environment), stdout=out, stderr=err,
                start_new_session=True, preexec_fn=(lambda: _limit(limit)) if limit else None,
            )  # fmt: skip

    def wait(self) -> tuple[int, dict[str, Any], str]:
        """Return its exit code (99 where it hung), its document, and what it said."""
        try:
            self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return 99, {}, "it hung"
        lines = self._out.read_text().strip().splitlines()
        try:
            document = json.loads(lines[-1]) if lines else {}
        except ValueError:
            document = {}
        return self.process.returncode, document, self._err.read_text()

    def kill(self, word: str = "") -> str:
        """Kill it, or the first of its processes whose command has a word; returns what was killed, or nothing."""
        try:
            chosen = [psutil.Process(self.process.pid)]
            if word:
                members = chosen[0].children(recursive=True)
                chosen = [one for one in members if word in " ".join(one.cmdline())]
            for one in chosen[:1]:
                one.kill()
        except psutil.NoSuchProcess:
            return ""
        return (word or "the run") if chosen else ""


def _limit(size: int) -> None:
    """Let no file of this process grow beyond a size, in bytes: as a disk that is full."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def labels_of(document: Mapping[str, Any]) -> pd.DataFrame:
    """Read the table of labels of a run, as text."""
    return pd.read_parquet(document["datasets"]["d/f"]["labels"]).astype(str)


def check_result(document: Mapping[str, Any], labels: pd.DataFrame) -> str:
    """Open the result with anndata; returns what is wrong with it, or nothing."""
    from cellstrata import open_linked

    report = document["datasets"]["d/f"]
    try:
        adata = open_linked(report["output"])
    except Exception as error:
        return f"the result cannot be read: {type(error).__name__}: {error}"
    columns = [name for name in labels.columns if name in adata.obs]
    if len(columns) < len(report["columns"]):
        return f"the result lacks columns, has {columns}"
    found = {name: adata.obs[name].astype(str).to_numpy() for name in report["columns"]}
    wrong = [name for name, values in found.items() if not (values == labels[name].to_numpy()).all()]
    return f"labels in the result differ from the table: {wrong}" if wrong else ""


def digest_of(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def left_behind(mark: str) -> list[str]:
    """Return the commands of processes that carry a mark and still live."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(" ".join(process.cmdline())[:120])
        except (psutil.Error, OSError):
            continue
    return found
