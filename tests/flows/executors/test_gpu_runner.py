"""The runner `gpu` with stand-ins for the packages of a GPU, in processes of its own: who owns it, and who does not.

The stand-ins prove where work goes and what is recorded, nothing about a device.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cellstrata.flows.executors.executor import RunnerUnusable, Settings
from cellstrata.flows.executors.gpu import open_gpu
from cellstrata.flows.executors.processes import Processes
from tests.flows.conftest import Run
from tests.flows.outputs import labels
from tests.flows.placed import die, process

SPLITS: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 2, "resolutions": [1.0]}
CUPY = """
import os
from tests.tasks.gpu_stand_in import StandIn
globals().update(vars(StandIn().cupy()))
with open(os.environ["STAND_IN_USERS"], "a") as file:
    file.write(f"{os.getpid()} ")
cuda.runtime.getDeviceCount = lambda: int(os.environ["STAND_IN_DEVICES"])
cuda.runtime.memGetInfo = lambda: (int(os.environ["STAND_IN_FREE"]), 0)
"""
CUGRAPH = "from tests.tasks.gpu_stand_in import StandIn\nglobals().update(vars(StandIn().pylibcugraph()))\n"
CUDA_CLUSTER = """
from distributed import LocalCluster
def LocalCUDACluster(n_workers, **options):
    assert n_workers is None, "one for each device"
    return LocalCluster(n_workers=2, **options)
"""


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One GPU's packages, for the processes that are started from here; returns who has imported cupy."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "cupy.py").write_text(CUPY)
    (packages / "pylibcugraph.py").write_text(CUGRAPH)
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("STAND_IN_USERS", str(tmp_path / "users"))
    monkeypatch.setenv("STAND_IN_DEVICES", "1")
    monkeypatch.setenv("STAND_IN_FREE", str(2**33))
    return tmp_path / "users"


def records(cache: Path) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (cache / "v1/records").rglob("*.json")]
    return [record["body"] for record in found if record["kind"] == "split"]


def test_large_splits_go_to_the_owner_and_small_ones_beside_it(
    device: Path, one: Run, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**SPLITS, "use_gpu": True, "n_cell_cpu": 1500}
    cpu = one(blobs, SPLITS, "cpu", cache=str(tmp_path / "cpu"))
    one(blobs, asked, "gpu", cache=str(tmp_path / "gpu"), runner="gpu")
    by_engine = {engine: [] for engine in ("rapids", "cellstrata")}
    for body in records(tmp_path / "gpu"):
        assert body["fallback"] is None
        by_engine[body["engine"]].append(body["n_cells"])
    assert by_engine["rapids"] == [2400]
    assert len(by_engine["cellstrata"]) >= 4
    owners = set(device.read_text().split())
    assert len(owners) == 1
    assert str(os.getpid()) not in owners

    monkeypatch.setenv("STAND_IN_FREE", "1000")
    required = one(blobs, asked | {"use_gpu": "required"}, "small", cache=str(tmp_path / "small"), runner="gpu")
    (root,) = [body for body in records(tmp_path / "small") if body["n_cells"] == 2400]
    assert root["engine"] == "cellstrata"
    assert root["fallback"].endswith("GiB are needed, and the GPU has 0.0 GiB free")
    assert labels(required).equals(labels(cpu))
    assert len(set(device.read_text().split()) - owners) == 1


def test_without_a_device(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_DEVICES", "0")
    settings = Settings("gpu", use_gpu=True)
    executor = open_gpu(settings)
    executor.close()
    assert isinstance(executor, Processes)
    assert executor.notices == ["runner: `gpu` computes as `processes` does: no CUDA device is visible"]
    assert executor.status is not None
    assert not executor.status.available
    with pytest.raises(RunnerUnusable, match="required, but there is no device: no CUDA device is visible"):
        open_gpu(Settings("gpu", use_gpu="required"))
    unasked = open_gpu(Settings("gpu"))
    unasked.close()
    assert "no dataset asks for a GPU" in unasked.notices[0]


def test_several_devices_have_an_owner_each_and_one_that_dies_is_not_the_end(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_DEVICES", "2")
    alone = open_gpu(Settings("gpu", cpus=2, use_gpu=True))
    try:
        assert alone.notices == ["one of 2 GPUs is used: dask-cuda is not installed"]
        assert alone.at_once == 3
        owner, visible = alone.run(process, "cuvs-26-brute-force")
        assert visible is None
        beside, visible = alone.run(process, "faiss")
        assert (beside == owner, visible) == (False, "")
        assert alone.run(die, "cuvs-26-brute-force") is None
        assert alone.run(process, "cuvs-26-brute-force")[0] not in (owner, beside)
    finally:
        alone.close()
    pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    (device.parent / "packages" / "dask_cuda.py").write_text(CUDA_CLUSTER)
    several = open_gpu(Settings("gpu", cpus=2, use_gpu=True))
    try:
        assert (several.notices, several.at_once) == ([], 4)
        assert several.run(process, "cuvs-26-brute-force")[1] is None
    finally:
        several.close()
