"""What happens to runs of deployments on a real server with a real worker: cancelled, killed, overlapping, failed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import psutil
import pytest

from tests.flows.operating import POOL, Operation, computed_and_cached, operation, wait_until
from tests.flows.test_recovery import splits
from tests.s3_server import SETTINGS

pytestmark = [pytest.mark.prefect, pytest.mark.processes]
LATENT: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 2, "resolutions": [0.5, 1.0]}
SOME = LATENT | {"resolutions": [0.5, 0.7, 0.9, 1.1]}
QUICK = ("--runner", "threads")  # where no worker process is asked about
MANY = SOME | {"hierarchy": 3, "resolutions": [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]}


@pytest.fixture(scope="module")
def operated(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operation]:
    with operation(tmp_path_factory.mktemp("operation"), empty_database) as found:
        found.ask("work_pools/", {"name": POOL, "type": "process"})
        yield found


@pytest.fixture
def at_work(operated: Operation) -> Operation:
    operated.start_worker()
    return operated


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 cells in 12 groups: at several resolutions work for long enough to be disturbed."""
    rng = np.random.default_rng(3)
    embedding = (rng.normal(size=(12, 12)) * 5)[rng.integers(0, 12, size=5_000)] + rng.normal(size=(5_000, 12))
    path = tmp_path_factory.mktemp("many") / "many.h5ad"
    anndata.AnnData(obsm={"X_latent": embedding.astype(np.float32)}).write_h5ad(path)
    return path


def written(folder: Path, settings: dict[str, Any], **inputs: Path | str) -> Path:
    """A configuration of a dataset an input, of which the file's name is the name of its deployment."""
    clustering = {"algorithm": "leiden", "resolutions": [0.5], "ensemble": 1, **settings}
    datasets = {name: {"input": {"clustering": {"f": str(p)}}, "clustering": clustering} for name, p in inputs.items()}
    places = {"output_dir": str(folder / "out"), "cache": str(folder / "cache")}
    path = folder / f"{folder.name}.yaml"
    path.write_text(json.dumps({**places, "workers": 2, "grain": 200, "report": False, "DATASETS": datasets}))
    return path


def test_cancelling_a_run_stops_its_work_and_its_processes(at_work: Operation, tmp_path: Path, many: Path) -> None:
    run = at_work.start(at_work.deploy(written(tmp_path, MANY, d=many)))
    records = tmp_path / "cache/v1/records"
    wait_until(lambda: splits(records) > 3, 200, at_work.log)
    processes = at_work.processes()
    assert sum("spawn_main" in str(process.cmdline()) for process in processes) == 2
    at_work.set_state(run, "CANCELLING")
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive
    kept = splits(records)
    assert at_work.end_of(run)["type"] == "CANCELLED"
    assert splits(records) == kept
    assert not list((tmp_path / "out").rglob("labels.parquet"))


def test_a_run_that_was_killed_crashes_and_its_retry_resumes(at_work: Operation, tmp_path: Path, many: Path) -> None:
    run = at_work.start(at_work.deploy(written(tmp_path, SOME, d=many)))
    records = tmp_path / "cache/v1/records"
    wait_until(lambda: splits(records) > 5, 200, at_work.log)
    engine = next(process for process in at_work.processes() if "prefect.engine" in process.cmdline())
    os.kill(engine.pid, signal.SIGKILL)
    assert at_work.end_of(run, 20)["type"] == "CRASHED"
    kept = splits(records)
    # The worker says it once more, and whoever retries before that is taken for the one that crashed.
    wait_until(lambda: "prefect.flow_runs.worker - Check whether" in at_work.log(), 200, at_work.log)
    at_work.set_state(run, "SCHEDULED", name="AwaitingRetry")
    wait_until(lambda: at_work.state(run)["type"] == "COMPLETED", 200, at_work.log)
    computed, cached = computed_and_cached(at_work.state(run)["message"])
    assert splits(records) == computed + kept
    assert cached >= kept


def test_a_worker_killed_and_restarted_resumes_from_the_cache(at_work: Operation, tmp_path: Path, many: Path) -> None:
    name = at_work.deploy(written(tmp_path, SOME, d=many))
    lost = at_work.start(name)
    records = tmp_path / "cache/v1/records"
    wait_until(lambda: splits(records) > 5, 200, at_work.log)
    at_work.kill_worker()
    kept = splits(records)
    assert at_work.state(lost)["type"] == "RUNNING"  # nobody is left who could tell
    at_work.set_state(lost, "CRASHED")  # as deployments/automations/crash-lost-runs.yaml does
    at_work.start_worker()
    ended = at_work.end_of(at_work.start(name))
    assert ended["type"] == "COMPLETED", ended
    computed, cached = computed_and_cached(ended["message"])
    assert splits(records) == computed + kept
    assert cached >= kept


def test_a_run_that_is_due_while_another_lasts_waits_for_it(at_work: Operation, tmp_path: Path, blobs: Path) -> None:
    name = at_work.deploy(written(tmp_path, LATENT, d=blobs), *QUICK)
    both = [at_work.start(name), at_work.start(name)]
    messages = [at_work.end_of(run)["message"] for run in both]
    first, second = sorted(
        (at_work.ask(f"flow_runs/{run}", method="GET") for run in both), key=itemgetter("start_time")
    )
    states = at_work.ask(f"flow_run_states/?flow_run_id={second['id']}", method="GET")
    assert "AwaitingConcurrencySlot" in [state["name"] for state in states]
    assert first["end_time"] <= second["start_time"]
    computed, cached = computed_and_cached(first["state"]["message"])
    assert computed > 0 == cached
    assert computed_and_cached(second["state"]["message"]) == (0, computed), messages


def test_an_input_that_vanishes_is_a_failure_that_names_it(at_work: Operation, tmp_path: Path, blobs: Path) -> None:
    shutil.copy(blobs, tmp_path / "gone.h5ad")
    config = written(tmp_path, {"neighbors": {"use_rep": "X_latent"}}, one=blobs, two=tmp_path / "gone.h5ad")
    name = at_work.deploy(config, *QUICK)
    (tmp_path / "gone.h5ad").unlink()
    ended = at_work.end_of(at_work.start(name))
    assert ended["type"] == "FAILED"
    assert f"two/f: {tmp_path / 'gone.h5ad'}: there is no such file" in ended["message"]
    assert splits(tmp_path / "cache") == 0


def test_a_retry_computes_only_what_failed(at_work: Operation, tmp_path: Path, blobs: Path) -> None:
    rng = np.random.default_rng(5)
    data = anndata.AnnData(rng.normal(size=(600, 5)), obsm={"X_latent": rng.normal(size=(600, 5))})
    data.write_h5ad(tmp_path / "whole.h5ad", compression="gzip")
    shutil.copy(tmp_path / "whole.h5ad", tmp_path / "two.h5ad")
    with h5py.File(tmp_path / "two.h5ad") as file:  # of X, which is read when the result is written
        at = file["X"].id.get_chunk_info(0).byte_offset
    with (tmp_path / "two.h5ad").open("r+b") as file:
        file.seek(at)
        file.write(b"damaged.")
    settings = {"neighbors": {"use_rep": "X_latent"}}
    run = at_work.start(at_work.deploy(written(tmp_path, settings, one=blobs, two=tmp_path / "two.h5ad"), *QUICK))
    ended = at_work.end_of(run)
    assert ended["type"] == "FAILED"
    assert (tmp_path / "out/clustering/dataset~one/file_id~f.zarr").exists()
    at_work.kill_worker()  # else it may tell of the first process's end after the retry is scheduled
    shutil.copy(tmp_path / "whole.h5ad", tmp_path / "two.h5ad")
    at_work.set_state(run, "SCHEDULED", name="AwaitingRetry")
    at_work.start_worker()
    wait_until(lambda: at_work.state(run)["type"] in ("COMPLETED", "CRASHED"), 200, at_work.log)
    assert computed_and_cached(at_work.state(run)["message"]) == (0, 2)
    assert (tmp_path / "out/clustering/dataset~two/file_id~f.zarr").exists()


def test_a_changed_object_of_a_bucket_starts_a_run_of_what_changed(
    operated: Operation, tmp_path: Path, blobs: Path, s3: str
) -> None:
    """The worker asks the bucket; a run is started on the one dataset of two whose object was written anew."""
    bucket = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs").S3FileSystem()
    data = anndata.read_h5ad(blobs)
    for name, part in (("one", slice(0, 1200)), ("two", slice(1200, 2400))):
        data[part].copy().write_h5ad(tmp_path / f"{name}.h5ad")
        bucket.put(str(tmp_path / f"{name}.h5ad"), f"{s3}/{name}.h5ad")
    operated.kill_worker()
    operated.start_worker(**SETTINGS, AWS_ENDPOINT_URL=os.environ["AWS_ENDPOINT_URL"])
    inputs = {name: f"{s3}/{name}.h5ad" for name in ("one", "two")}
    config = written(tmp_path, LATENT, **inputs)
    name = operated.deploy(config, "--watch", "3600", *QUICK)

    def looked() -> str:
        seen = operated.end_of(operated.start(f"watch/{config.stem}", settle=0))
        return str(seen["message"])

    def ended(number: int) -> dict[str, Any]:
        wait_until(
            lambda: [r["state"]["type"] for r in operated.runs(name)] == ["COMPLETED"] * number, 200, operated.log
        )
        return operated.runs(name)[-1]

    try:
        assert looked() == "changed: one, two"
        computed, cached = computed_and_cached(ended(1)["state"]["message"])
        assert computed > 0 == cached
        data[1000:2400].copy().write_h5ad(tmp_path / "two.h5ad")
        bucket.put(str(tmp_path / "two.h5ad"), f"{s3}/two.h5ad")
        assert looked() == "changed: two"
        run = ended(2)
    finally:
        operated.remove(f"watch/{config.stem}")
    assert run["state"]["message"].startswith("1 input: ")
    assert run["parameters"]["config"]["defaults"]["datasets"] == ["two"]
    assert {"watched", "dataset:two"} <= {*run["tags"]}
