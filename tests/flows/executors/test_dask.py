"""The runner `dask`, on a scheduler and workers that are there before the run, and on a cluster of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cellstrata.configs.dask import DaskConfig
from cellstrata.flows.executors.executor import ClusterLost, RunnerUnusable, Settings, Stopped, WorkerDied
from tests import ROOT
from tests.flows.commands.test_command import config as write_config
from tests.flows.conftest import Run
from tests.flows.dask_cluster import Cluster, cluster_at
from tests.flows.on_workers import die, note_and_wait, tasks_of, wait_for
from tests.flows.outputs import labels

pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
LATENT: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 3, "resolutions": [1.0]}
SMALL = {"grain": 200}


@pytest.fixture
def site(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A scheduler without workers; a parameter is how many may die over some work."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", str(getattr(request, "param", 3)))
    with cluster_at(tmp_path / "site") as cluster:
        yield cluster


def opened(cluster: Cluster, timeout: int = 30, **more: Any) -> Any:
    from cellstrata.flows.executors.dask import Dask

    return Dask(Settings("dask", dask=DaskConfig(address=cluster.address, timeout=timeout), **more))


def refused(cluster: Cluster, **more: Any) -> str:
    with pytest.raises(RunnerUnusable) as caught:
        opened(cluster, **more)
    return str(caught.value)


def other_version(folder: Path, package: str) -> dict[str, str]:
    """The environment of a worker on whose machine a package is of version 0.0.1."""
    metadata = folder / f"{package}-0.0.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def lines(path: Path) -> int:
    return len(path.read_text().split()) if path.exists() else 0


def in_thread(function: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call a function in a thread; its result, or the exception, comes into the list."""
    found: list[Any] = []

    def call() -> None:
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, found


def test_labels_are_those_of_threads_also_when_a_worker_is_killed(
    s3: str, s3_endpoint: str, one: Run, blobs: Path, site: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers know of the bucket only what the run tells them, and nobody writes down its secret."""
    alone = one(blobs, LATENT, "alone", **SMALL)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    workers = [site.start_worker({"AWS_EC2_METADATA_DISABLED": "true"}) for _ in range(2)]
    secret = {"key": "HUSH1", "secret": "HUSH2", "endpoint_url": s3_endpoint}
    given: dict[str, Any] = {"cache": f"{s3}/cache", "storage_options": {"s3": secret}, "runner": "dask", **SMALL}

    def kill_one() -> None:
        import s3fs

        fs = s3fs.S3FileSystem(**secret, use_listings_cache=False, skip_instance_cache=True)
        wait_for(lambda: sum("/records/" in path for path in fs.find(s3)) > 8)
        site.kill(workers[0])

    killing, _ = in_thread(kill_one)
    report = one(blobs, LATENT, "dask", dask={"address": site.address}, **given)
    killing.join()
    assert workers[1].poll() is None
    assert labels(report).equals(labels(alone))
    assert sum(report["splits"].values()) == sum(alone["splits"].values())
    assert "HUSH" not in site.log


def test_what_is_refused_before_work_starts(
    site: Cluster, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cellstrata.flows.commands.command import main

    for seconds in (1, 5, 25):  # on a busy machine the scheduler itself answers late
        said = refused(site, timeout=seconds)
        if "no Dask scheduler answers" not in said:
            break
    assert "has no workers" in said
    site.start_worker()
    assert "name a place that all workers see" in refused(site, cache="memory://cache")
    monkeypatch.chdir(tmp_path)
    seen = opened(site, cache=str(tmp_path / "cache"))
    seen.close()
    assert os.listdir(tmp_path / "cache") == []
    unseen = refused(site, cache="/proc/self/cwd/cache")  # a folder of this process, as of another machine
    assert "does not see /proc/self/cwd/cache (it is not there)" in unseen
    assert site.addresses[0] in unseen
    site.start_worker(other_version(tmp_path / "old", "igraph"))
    run = ["run", write_config(tmp_path, blobs, **LATENT), "--runner", "dask", "--dask.address", site.address]
    wait_for(lambda: site.log.count("Registered to") == 2)
    assert main(run) == 2
    said = capsys.readouterr().err
    assert f"worker {site.addresses[1]} has igraph 0.0.1, here " in said
    assert site.addresses[0] not in said
    assert not (tmp_path / "out").exists()
    site.close()
    assert main([*run, "--dask.timeout", "1"]) == 2
    assert f"no Dask scheduler answers at {site.address} within 1 s" in capsys.readouterr().err


def test_a_scheduler_that_comes_back_one_that_does_not_and_a_late_worker(site: Cluster, tmp_path: Path) -> None:
    site.start_worker()
    executor = opened(site)
    try:
        thread, found = in_thread(lambda: executor.run(note_and_wait, str(tmp_path / "notes"), str(tmp_path / "go")))
        wait_for(lambda: lines(tmp_path / "notes") == 1)
        site.close()
        site.start_scheduler()
        site.start_worker()
        wait_for(lambda: lines(tmp_path / "notes") == 2)
        (tmp_path / "go").touch()
        thread.join(30)
        assert found == ["done"]
    finally:
        executor.close()
    steady = opened(site)
    try:
        site.start_worker(other_version(tmp_path / "old", "numpy"))
        wait_for(lambda: site.log.count("Registered to") == 3)
        site.kill(site.workers[1])
        with pytest.raises(ClusterLost, match=r"numpy 0\.0\.1, here .*every finished split is kept"):
            steady.run(os.getpid)
    finally:
        steady.close()
    site.kill(site.workers[2])
    site.start_worker()
    wait_for(lambda: site.log.count("Registered to") == 4)
    impatient = opened(site, timeout=2)
    try:
        thread, found = in_thread(lambda: impatient.run(time.sleep, 60))
        time.sleep(0.5)
        site.close()
        thread.join(30)
        assert isinstance(found[0], ClusterLost)
        assert "is gone, and has not come back" in str(found[0])
    finally:
        impatient.close()


@pytest.mark.parametrize("site", [0], indirect=True)
def test_who_kills_workers_is_blamed_and_stopping_leaves_no_work(site: Cluster, tmp_path: Path) -> None:
    from distributed import Client

    for _ in range(3):
        site.start_worker()
    wait_for(lambda: site.log.count("Registered to") == 3)
    executor = opened(site)
    try:
        with pytest.raises(WorkerDied, match="memory"):
            executor.run(die, str(tmp_path / "deaths"))
        assert lines(tmp_path / "deaths") == 2
        asked = [
            in_thread(lambda: executor.run(note_and_wait, str(tmp_path / "notes"), str(tmp_path / "go")))
            for _ in range(4)
        ]
        wait_for(lambda: lines(tmp_path / "notes") == 1)
        executor.stop()
        for thread, found in asked:
            thread.join(60)  # they would wait for ever
            assert isinstance(found[0], Stopped)
    finally:
        executor.close()
    with Client(site.address, set_as_default=False) as client:
        wait_for(lambda: client.run_on_scheduler(tasks_of) == 0)
        (tmp_path / "go").touch()
        assert client.submit(os.getpid).result(timeout=30) in [worker.pid for worker in site.workers]
    assert lines(tmp_path / "notes") == 1, "what the worker was at, and nothing that waited"


def test_a_cluster_of_its_own(one: Run, blobs: Path) -> None:
    settings = LATENT | {"hierarchy": 2}
    alone = one(blobs, settings, "alone", refresh=True, **SMALL)
    report = one(blobs, settings, "dask", runner="dask", refresh=True, dask={"n_workers": 2, "timeout": 30}, **SMALL)
    assert labels(report).equals(labels(alone))
    assert report["splits"]["executed"] == alone["splits"]["executed"]
