"""What belongs to a run: found by its flows and tasks, by no other's, and gone when it ends."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cellstrata.configs import RunConfig
from cellstrata.flows import preparation
from cellstrata.flows.caching import CellstrataCache
from cellstrata.flows.executors.processes import Processes
from cellstrata.flows.executors.threads import Threads
from cellstrata.flows.launch import run
from cellstrata.flows.preparation import prepare, take_input
from cellstrata.flows.run import Run, current_run, open_cache, open_run
from cellstrata.tasks.cache.leases import live_leases
from cellstrata.tasks.stores import retries
from cellstrata.tasks.stores.faults import NO_BUCKET_THERE
from tests.flows.conftest import HOME


@pytest.fixture
def asked(blobs: Path, tmp_path: Path) -> dict[str, Any]:
    clustering = {
        "algorithm": "leiden", "resolutions": [0.1], "hierarchy": 2, "neighbors": {"use_rep": "X_latent"},
    }  # fmt: skip
    return {
        "output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache"), "runner": "threads", "workers": 2,
        "figures": False, "report": False,
        "DATASETS": {"d": {"input": {"clustering": {"f": str(blobs)}}, "clustering": clustering}},
    }  # fmt: skip


def current_executor() -> Any:
    run = current_run()
    return None if run is None else run.executor


def test_two_runs_at_once_each_have_their_own(asked: dict[str, Any]) -> None:
    both = threading.Barrier(2, timeout=60)

    def hold(runner: str, key: str) -> tuple[Any, ...]:
        config = RunConfig(**{**asked, "runner": runner, "storage_options": {"s3": {"key": key}}})
        with open_run(config) as own, own.computing() as executor:
            both.wait()  # both are open
            with ThreadPoolExecutor(1) as pool:  # as Prefect starts its tasks: in a copy of the context
                seen = pool.submit(contextvars.copy_context().run, current_executor).result()
            cache = CellstrataCache(url="s3://lab/cache").cache()
            own.writable.add(key)
            both.wait()
            return seen is executor, type(seen), cache.store.options["key"], current_run(), own.writable

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(hold, "threads", "ada"), pool.submit(hold, "processes", "grace")
        found = [first.result(), second.result()]
    assert [(same, kind, key) for same, kind, key, *_ in found] == [(True, Threads, "ada"), (True, Processes, "grace")]
    assert found[0][3] is not found[1][3]
    assert [sorted(writable) for *_, writable in found] == [["ada"], ["grace"]]
    assert current_run() is None


def test_two_runs_at_once_on_two_runners(server: str, asked: dict[str, Any], tmp_path: Path) -> None:
    def start(runner: str) -> pd.DataFrame:
        places = {"output_dir": str(tmp_path / runner), "cache": str(tmp_path / f"{runner}-cache")}
        (dataset,) = run(asked, runner=runner, **places).datasets.values()
        assert dataset.splits.executed == 13
        return pd.read_parquet(str(dataset.labels)).astype(str)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, ("threads", "processes"))
    assert first.equals(second)


def test_a_run_joins_the_one_around_it_only_with_the_same_configuration(asked: dict[str, Any]) -> None:
    with open_run(RunConfig(**asked)) as outer:
        with open_run(RunConfig(**asked)) as same:
            assert same is outer
        with open_run(RunConfig(**{**asked, "workers": 1})) as other, other.computing() as executor:
            assert other is not outer
            assert executor.at_once == 1
        assert current_run() is outer


def test_what_was_said_once_is_said_again_when_no_run_is_left(
    asked: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def say() -> int:
        before = len(caplog.records)
        retries.say_once("s3://lab", NO_BUCKET_THERE, "404")
        return len(caplog.records) - before

    retries.forget_said()
    with open_run(RunConfig(**asked)):
        assert say() == 1
        with open_run(RunConfig(**{**asked, "workers": 1})):
            assert say() == 0
        assert say() == 0  # another run has ended meanwhile
    assert say() == 1


def test_a_child_that_is_retried_finds_its_run(
    server: str, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.flows import cluster, dataset

    seen: list[Any] = []
    real = dataset.publish_result

    def publish(*arguments: Any) -> Any:
        seen.append((current_run(), current_executor()))
        if len(seen) == 1:
            raise ValueError("not this time")
        return real(*arguments)

    monkeypatch.setattr(dataset, "publish_result", publish)
    monkeypatch.setattr(cluster, "cluster_dataset", cluster.cluster_dataset.with_options(retries=1))
    (found,) = run(asked).datasets.values()
    assert found.error is None
    assert found.splits.cached == 13  # of the first try
    assert seen[0] == seen[1]
    assert seen[0][0] is not None


ALONE = """
import asyncio, json, sys
from cellstrata.configs import RunConfig
from cellstrata.flows.cluster import cluster_dataset
from cellstrata.flows.executors import processes

opened = []
class Noted(processes.Processes):
    def __init__(self, *arguments):
        opened.append(self)
        super().__init__(*arguments)
processes.Processes = Noted
report = asyncio.run(cluster_dataset(RunConfig(**json.loads(sys.argv[1])), "d", "f"))
print(len(opened), report["splits"]["executed"], opened[0]._stopped)
"""


def test_a_child_that_is_started_alone_has_its_runner(server: str, asked: dict[str, Any]) -> None:
    asked["runner"] = "processes"
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(asked)], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PREFECT_API_URL": server, "PREFECT_HOME": HOME.name},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "13", "False"]


@pytest.mark.parametrize("begin", [prepare, lambda run: take_input(run, "d", "f")], ids=["run", "child alone"])
def test_its_cache_is_held_from_before_the_first_look_at_an_input(
    asked: dict[str, Any], begin: Callable[[Run], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    held, inspect = [], preparation.inspect_input

    def looks(*arguments: Any, **keywords: Any) -> Any:
        held.append(len(live_leases(open_cache(config))))
        return inspect(*arguments, **keywords)

    monkeypatch.setattr(preparation, "inspect_input", looks)
    config = RunConfig(**asked)
    with open_run(config) as run:
        begin(run)
        run.hold_cache()
        held.append(len(live_leases(open_cache(config))))
    assert held == [1, 1]
    assert not live_leases(open_cache(config))


def test_two_flows_in_one_loop(server: str, asked: dict[str, Any], tmp_path: Path) -> None:
    from cellstrata.flows.cluster import cluster

    other = {**asked, "output_dir": str(tmp_path / "other"), "cache": str(tmp_path / "other-cache"), "workers": 1}

    async def both() -> list[Any]:
        return list(await asyncio.gather(cluster(RunConfig(**asked)), cluster(RunConfig(**other))))

    first, second = (found["datasets"]["d/f"] for found in asyncio.run(both()))
    assert first["splits"] == second["splits"] == {"executed": 13, "cached": 0}
    assert pd.read_parquet(first["labels"]).equals(pd.read_parquet(second["labels"]))
