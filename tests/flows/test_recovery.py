"""Runs that are killed, that meet in one cache, or that find it damaged: what comes out is the same."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellstrata.configs import RunConfig
from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.inputs.plans import tree_plans
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.labels import level_column
from tests import ROOT
from tests.flows.commands.test_command import COMMAND, config
from tests.flows.conftest import Cluster, Run
from tests.flows.outputs import labels
from tests.tasks.small import cache_at, grow

SETTINGS: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 4, "resolutions": [0.5, 1.0]}


@pytest.fixture(scope="module")
def whole(server: str, blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a run that nobody disturbs."""
    from cellstrata.flows.cluster import cluster

    folder = tmp_path_factory.mktemp("whole")
    given = json.loads(Path(config(folder, blobs, **SETTINGS)).read_text())
    report: dict[str, Any] = asyncio.run(cluster(RunConfig(runner="threads", workers=2, **given)))
    return report["datasets"]["d/f"]  # type: ignore[no-any-return]


@pytest.mark.processes
@pytest.mark.parametrize(("victim", "done"), [("run", 0.1), ("run", 0.6), ("worker", 0.3)])
def test_a_kill_costs_only_what_was_under_way(
    victim: str, done: float, server: str, run: Run, whole: dict[str, Any], tmp_path: Path, blobs: Path
) -> None:
    """When that part of the splits is done; `python -m benchmarks.kills` does it at random moments."""
    path = config(tmp_path, blobs, **SETTINGS)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server}
    records, arguments = tmp_path / "cache" / "v1" / "records", ["--grain", "200", "--workers", "2"]
    with subprocess.Popen(
        [*COMMAND, "run", path, *arguments, "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 150
        while splits(records) < done * whole["splits"]["executed"] and time.monotonic() < until:
            time.sleep(0.01)
        if victim == "run":
            os.kill(process.pid, signal.SIGKILL)
        else:
            workers = [
                child for child in psutil.Process(process.pid).children() if "spawn_main" in str(child.cmdline())
            ]
            workers[0].kill()
        printed, _ = process.communicate(timeout=200)
    if victim == "worker":  # the run itself goes on
        assert process.returncode == 0
        report = json.loads(printed.splitlines()[-1])["datasets"]["d/f"]
    else:
        assert process.returncode == -signal.SIGKILL
        kept = splits(records)
        report = run(**json.loads(Path(path).read_text()), grain=200)["datasets"]["d/f"]
        assert kept + report["splits"]["executed"] <= whole["splits"]["executed"] + 2
    assert labels(report).equals(labels(whole))


def splits(records: Path) -> int:
    found = 0
    for file in records.rglob("*.json"):
        try:
            found += '"kind":"split"' in file.read_text()
        except FileNotFoundError:
            continue
    return found


@pytest.mark.processes
def test_a_cluster_that_takes_its_worker_along(
    run: Run, whole: dict[str, Any], blobs: Path, pbmc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once more, named with its size, and fails its dataset alone; its siblings are kept."""
    import cellstrata.tasks.trees.jobs
    from tests.flows import mortal

    noted = tmp_path / "noted"
    monkeypatch.setenv("KILLS_AT", "leiden 1.0 (0,)")
    monkeypatch.setenv("KILLS_NOTED", str(noted))
    bad = {"input": {"clustering": {"f": str(blobs)}}, "clustering": {"algorithm": "leiden", **SETTINGS}}
    good = {"input": {"clustering": {"f": str(pbmc)}}, "clustering": {"algorithm": "leiden", "resolutions": [0.5]}}
    config: dict[str, Any] = {"DATASETS": {"bad": bad, "good": good}, "grain": 200}
    config |= {"output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    with monkeypatch.context() as patch:
        patch.setattr(cellstrata.tasks.trees.jobs, "run_job", mortal.run_job)
        reports = run(**config, runner="processes")["datasets"]
    assert "error" not in reports["good/f"]
    assert re.search(r"bad/f · leiden 1.0 · 0 · \d\d\d cells: WorkerDied: .*out of memory", reports["bad/f"]["error"])
    assert len(noted.read_text().split()) == 2
    kept = splits(tmp_path / "cache/v1/records") - reports["good/f"]["splits"]["executed"]
    resumed = run(**config)["datasets"]["bad/f"]
    assert labels(resumed).equals(labels(whole))
    missing = whole["splits"]["executed"] - kept
    assert resumed["splits"]["executed"] == missing
    assert 1 <= missing < whole["splits"]["executed"] / 2


def test_two_runs_at_once_share_the_work(server: str, whole: dict[str, Any], tmp_path: Path, blobs: Path) -> None:
    from cellstrata.flows.cluster import cluster

    def asked(out: str) -> RunConfig:
        data = {"d": {"input": {"clustering": {"f": str(blobs)}}, "clustering": {"algorithm": "leiden", **SETTINGS}}}
        return RunConfig(
            output_dir=str(tmp_path / out), cache=str(tmp_path / "shared"), runner="threads", workers=2, grain=200,
            DATASETS=data,
        )  # fmt: skip

    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(cluster(asked("a")), cluster(asked("b"))))

    reports = [report["datasets"]["d/f"] for report in asyncio.run(both())]
    for report in reports:
        assert labels(report).equals(labels(whole))
    executed = sum(report["splits"]["executed"] for report in reports)
    assert executed == whole["splits"]["executed"]
    assert not list((tmp_path / "shared/v1/claims").glob("*"))


def test_a_cache_to_read_and_one_to_write(one: Run, pbmc: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    first = one(pbmc, {"hierarchy": 2}, cache=str(team))
    before = {file: file.stat().st_mtime_ns for file in team.rglob("*")}
    same = one(pbmc, {"hierarchy": 2}, "same", read_cache=str(team))
    assert same["splits"] == {"executed": 0, "cached": first["splits"]["executed"]}
    more = one(pbmc, {"hierarchy": {"levels": {2: {}, 3: 0.3}}}, "more", read_cache=str(team))
    assert more["splits"]["cached"] == first["splits"]["executed"]
    assert more["splits"]["executed"] > 0
    assert {file: file.stat().st_mtime_ns for file in team.rglob("*")} == before
    alone = one(pbmc, {"hierarchy": {"levels": {2: {}, 3: 0.3}}}, "alone")
    assert alone["splits"]["cached"] == more["splits"]["executed"]
    assert labels(alone).equals(labels(more))


CONFIG = ClusteringConfig(algorithm="leiden", resolutions=[0.5, 1.0], hierarchy=3)


def clustered(data: Path, cache: Cache, folder: Path) -> tuple[list[list[str]], int]:
    """Inspect and split as a run does, without Prefect; the labels of the last level, and the splits computed."""
    found, problems = inspect_input("d", "f", Place(str(data)), CONFIG, str(folder / "out"), cache)
    assert found is not None, problems
    columns, executed = [], 0
    embeddings = {choice: ref for choice, ref in found.embeddings.items() if ref is not None}
    for plan in tree_plans(CONFIG, found, embeddings, found.stored_graph or "", False):
        grown = grow(plan, cache)
        executed += len(grown.executed)
        columns.append(list(level_column(grown.tree.codes, grown.tree.leaves, 3)))
    return columns, executed


PICKLE = b"cbuiltins\nexec\n(Vopen('unpickled', 'w').close()\ntR."  # leaves a file if it is ever loaded


KINDS = ["delete", "truncate", "flip a bit", "another file's content", "a pickle", "noise", "another scheme", "longer"]
Damage = tuple[int, str, int]  # which file, what is done to it, a number for where and how


def damage(file: Path, files: list[Path], kind: str, number: int) -> None:
    """Do one of the things that happen to files, and some that somebody would have to do."""
    content = file.read_bytes()
    if kind == "delete":
        file.unlink()
    elif kind == "truncate":
        file.write_bytes(content[: number % (len(content) + 1)])
    elif kind == "flip a bit" and content:
        place = number % len(content)
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << number % 8)]) + content[place + 1 :])
    elif kind == "another file's content":
        file.write_bytes(files[number % len(files)].read_bytes())
    elif kind == "a pickle":
        file.write_bytes(PICKLE)
    elif kind == "noise":
        file.write_bytes(random.Random(number).randbytes(number % 200))
    elif kind == "another scheme":
        file.write_bytes(content.replace(b'"scheme":1', b'"scheme":9').replace(b"split", b"graph"))
    else:
        file.write_bytes(content + b"\x00" * (number % 50 + 1))


def damage_all(folder: Path, damages: Iterable[Damage]) -> None:
    """Damage files of a folder; a file that is gone meanwhile is not damaged again."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for which, kind, number in damages:
        if (file := files[which % len(files)]).exists():
            damage(file, [file for file in files if file.exists()], kind, number)


NUMBERS = st.integers(0, 2**32)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damages=st.lists(st.tuples(NUMBERS, st.sampled_from(KINDS), NUMBERS), min_size=8, max_size=8))
def test_no_damage_to_the_cache_is_ever_believed(
    damages: list[Damage],
    damaged: tuple[Path, Cache, list[list[str]]],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """8 files each: 200 in all."""
    data, whole, expected = damaged
    folder = tmp_path_factory.mktemp("case")
    monkeypatch.chdir(folder)
    shutil.copytree(whole.store.root, folder / "cache")
    cache = cache_at(folder / "cache")
    damage_all(folder / "cache", damages)
    found, _ = clustered(data, cache, folder)
    assert found == expected
    assert not (folder / "unpickled").exists()
    again, executed = clustered(data, cache, folder)  # and it is mended
    assert (again, executed) == (expected, 0)
    shutil.rmtree(folder / "cache")


def test_the_pickle_would_do_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLE)
    assert (tmp_path / "unpickled").exists()


@pytest.fixture(scope="module")
def damaged(pbmc: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Cache, list[list[str]]]:
    folder = tmp_path_factory.mktemp("damaged")
    cache = cache_at(folder / "cache")
    os.utime(pbmc, (1, 1))  # an old file, whose elements are remembered
    expected, executed = clustered(pbmc, cache, folder)
    assert executed > 20
    return pbmc, cache, expected


def test_damage_met_by_the_command(cluster: Cluster, forms: dict[str, Path], tmp_path: Path) -> None:
    def level(number: int, *more: str) -> np.ndarray[Any, Any]:
        from tests.tasks.everything import load

        source = forms["zarr"] if number == 1 else "l1.zarr"
        code, printed = cluster(source, f"l{number}.zarr", "--level", number, "--overwrite", *more)
        assert code == 0, printed
        return np.asarray(load(f"l{number}.zarr").obs.iloc[:, 0].astype(str))

    expected = [level(1), level(2)]
    rng = random.Random(0)
    for _ in range(4):
        there = sum(file.is_file() for file in (tmp_path / "cache").rglob("*"))
        chosen = rng.sample(range(there), there // 3)
        damage_all(tmp_path / "cache", [(which, rng.choice(KINDS), rng.randrange(2**32)) for which in chosen])
        assert all(np.array_equal(level(number), expected[number - 1]) for number in (1, 2))


@pytest.mark.processes
def test_the_server_may_die(tmp_path: Path, blobs: Path, run: Run, whole: dict[str, Any]) -> None:
    """Killed in the middle of a run, it takes the run with it, at once; the next one finishes."""
    path = config(tmp_path, blobs, **SETTINGS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen(
        [*COMMAND, "run", path, "--grain", "200", "--workers", "2"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 150
        while splits(tmp_path / "cache/v1/records") < 6 and time.monotonic() < until:
            time.sleep(0.01)
        servers = [p for p in psutil.Process(process.pid).children() if "embedded_server" in str(p.cmdline())]
        servers[0].kill()
        try:
            _, errors = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("the run hangs without its server")
    assert process.returncode == 1
    assert "server ended during the run" in errors
    assert "run again to resume" in errors
    assert "Traceback" not in errors
    report = run(**json.loads(Path(path).read_text()))["datasets"]["d/f"]
    assert labels(report).equals(labels(whole))
