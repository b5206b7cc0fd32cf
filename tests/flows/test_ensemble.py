"""Ensembles in real runs: their runs are tasks of their own, and what comes out is the same in any runner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from cellstrata.configs import RunConfig
from tests import ROOT
from tests.flows.commands.test_command import COMMAND, config
from tests.flows.conftest import Run
from tests.flows.outputs import labels

N = 12_000  # enough for runs that are pieces of work


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of one cloud, on which no two runs agree."""
    embedding = np.random.default_rng(3).normal(size=(N, 4)).astype(np.float32)
    adata = anndata.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(N)]), obsm={"X_pca": embedding})
    path = tmp_path_factory.mktemp("cloud") / "cloud.h5ad"
    adata.write_h5ad(path)
    return path


def asked(cloud: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    clustering = {"algorithm": "leiden", "resolutions": [0.5], "ensemble": "auto", "hierarchy": 2, **changes}
    dataset = {"input": {"clustering": {"f": str(cloud)}}, "clustering": clustering}
    return {"DATASETS": {"d": dataset}, "output_dir": str(folder / "out"), "cache": str(folder / "cache")}


def splits(folder: Path) -> list[dict[str, Any]]:
    """The bodies of all splits in a cache."""
    files = (folder / "cache" / "v1" / "records").rglob("*.json")
    records = [json.loads(file.read_text()) for file in files]
    return [record["body"] for record in records if record["kind"] == "split"]


@pytest.fixture(scope="module")
def in_threads(server: str, cloud: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """The labels of a run in one thread, and the folder of its cache."""
    from cellstrata.flows.cluster import cluster

    folder = tmp_path_factory.mktemp("threads")
    summary = asyncio.run(cluster(RunConfig(**asked(cloud, folder), runner="threads", workers=1, figures=False)))
    return labels(summary["datasets"]["d/f"]), folder


def test_its_runs_are_kept_at_level_1_and_joined(in_threads: tuple[pd.DataFrame, Path]) -> None:
    _, folder = in_threads
    of_level_1 = [body for body in splits(folder) if body["n_cells"] == N]
    singles = [body for body in of_level_1 if "runs" not in body]
    assert sorted(body["seed"] for body in singles) == list(range(8))  # 3 did not agree
    (joined,) = (body for body in of_level_1 if "runs" in body)
    assert joined["runs"] == 8
    assert joined["quality"] >= max(body["quality"] for body in singles)
    below = [body for body in splits(folder) if body["n_cells"] < N]
    assert below
    assert all(body["runs"] in (3, 8) for body in below)  # theirs are made where they are joined, and not kept


def test_any_runner_and_number_of_workers_gives_the_same(
    run: Run, cloud: Path, in_threads: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    report = run(**asked(cloud, tmp_path), runner="processes", workers=2)["datasets"]["d/f"]
    assert labels(report).equals(in_threads[0])
    assert report["splits"]["executed"] > 1
    again = run(**asked(cloud, tmp_path), runner="threads", workers=2)["datasets"]["d/f"]
    assert again["splits"]["executed"] == 0
    assert labels(again).equals(in_threads[0])


def test_refresh_makes_every_run_anew(run: Run, cloud: Path, tmp_path: Path) -> None:
    base = asked(cloud, tmp_path, ensemble=2, hierarchy=1)
    first = run(**base, runner="threads", workers=2)["datasets"]["d/f"]
    records = tmp_path / "cache" / "v1" / "records"
    before = {file: file.stat().st_mtime_ns for file in records.rglob("*.json") if '"kind":"split"' in file.read_text()}
    assert len(before) == 3
    again = run(**base, runner="threads", workers=2, refresh=True)["datasets"]["d/f"]
    assert again["splits"]["executed"] == first["splits"]["executed"] == 1
    assert all(file.stat().st_mtime_ns > written for file, written in before.items())
    assert labels(again).equals(labels(first))


@pytest.mark.processes
def test_a_killed_run_goes_on_with_the_runs_that_it_has(
    server: str, run: Run, cloud: Path, in_threads: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    path = config(tmp_path, cloud, resolutions=[0.5], ensemble="auto", hierarchy=2)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server}
    with subprocess.Popen(
        [*COMMAND, "run", path, "--workers", "2"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 150
        while len(splits_there(tmp_path)) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    kept = {file: file.stat().st_mtime_ns for file in splits_there(tmp_path)}
    assert len(kept) >= 4
    report = run(**json.loads(Path(path).read_text()))["datasets"]["d/f"]
    assert labels(report).equals(in_threads[0])
    contents = [file.read_text() for file in splits_there(tmp_path)]
    assert sum(f'"n_cells":{N},' in content for content in contents) == 9  # eight runs, and what joins them


def splits_there(folder: Path) -> list[Path]:
    found = []
    for file in (folder / "cache" / "v1" / "records").rglob("*.json"):
        try:
            if '"kind":"split"' in file.read_text():
                found.append(file)
        except FileNotFoundError:
            continue
    return found
