"""A cache in a bucket, spoken to as S3: shared, cared for, only read, and lost in the middle of a run."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellstrata.configs import RunConfig
from cellstrata.flows.commands.command import main
from cellstrata.tasks.stores import retries
from tests.flows.conftest import Run
from tests.flows.outputs import labels
from tests.flows.relay import Relay

LATENT: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 2, "resolutions": [1.0],
                         "ensemble": "auto"}  # fmt: skip
SMALL = {"grain": 300}


def objects(url: str) -> dict[str, str]:
    """What lies in a bucket, by its ETags."""
    import s3fs

    fs = s3fs.S3FileSystem(use_listings_cache=False)
    return {path: str(info["ETag"]) for path, info in fs.find(url, detail=True).items()}


def test_shared_cared_for_and_only_read(
    s3: str, one: Run, blobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cellstrata.flows.cluster import cluster

    def asked(out: str) -> RunConfig:
        data = {"d": {"input": {"clustering": {"f": str(blobs)}}, "clustering": {"algorithm": "leiden", **LATENT}}}
        places = {"output_dir": str(tmp_path / out), "cache": f"{s3}/cache"}
        return RunConfig(**places, runner="threads", workers=2, **SMALL, DATASETS=data)  # type: ignore[arg-type]

    async def both() -> list[dict[str, Any]]:
        return list(await asyncio.gather(cluster(asked("a")), cluster(asked("b"))))

    alone = one(blobs, LATENT, **SMALL)
    whole = alone["splits"]["executed"]
    reports = [report["datasets"]["d/f"] for report in asyncio.run(both())]
    assert all(labels(report).equals(labels(alone)) for report in reports)
    assert whole <= sum(report["splits"]["executed"] for report in reports) <= 1.5 * whole
    before = objects(s3)
    assert not [path for path in before if "/claims/" in path or "/leases/" in path]

    def care(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        code = main(["cache", *words, "--cache", f"{s3}/cache", "--json"])
        assert code == 0, capsys.readouterr()
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    size = care("info")["size"]
    assert care("verify")["sound"]
    assert care("prune", "--max_size", "0", "--dry_run")["after"] == 0
    assert objects(s3) == before

    mine = one(blobs, LATENT, "mine", cache=str(tmp_path / "mine"), read_cache=f"{s3}/cache", **SMALL)
    assert mine["splits"] == {"executed": 0, "cached": whole}
    assert objects(s3) == before

    assert care("prune", "--max_size", str(size // 2))["after"] <= size // 2
    assert care("verify")["sound"]
    care("prune", "--max_size", "0")
    assert not [path for path in objects(s3) if "/records/" in path or "/arrays/" in path]


@pytest.fixture
def relay(s3: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The connection to the bucket, through which everything goes."""
    import s3fs

    relay = Relay(int(s3_endpoint.rsplit(":", 1)[1]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # else botocore and the store's own retries go on for minutes
    monkeypatch.setattr(retries, "MOST", 2)
    s3fs.S3FileSystem.clear_instance_cache()
    yield relay
    relay.cut()


def test_a_lost_connection(s3: str, relay: Relay, run: Run, one: Run, blobs: Path, tmp_path: Path) -> None:
    alone = one(blobs, LATENT, "alone", **SMALL)
    whole = alone["splits"]["executed"]
    data = {"d": {"input": {"clustering": {"f": str(blobs)}}, "clustering": {"algorithm": "leiden", **LATENT}}}
    config = {"DATASETS": data, "output_dir": str(tmp_path / "out"), "cache": f"{s3}/cache", **SMALL}

    def cut() -> None:
        until = time.monotonic() + 60
        while relay.messages < 4 * whole and time.monotonic() < until:
            time.sleep(0.005)
        relay.cut()

    cutting = threading.Thread(target=cut)
    cutting.start()
    lost = run(**config)["datasets"]["d/f"]
    cutting.join()
    assert "connect" in lost["error"].lower()
    assert not (tmp_path / "out/clustering/dataset~d/file_id~f.zarr").exists()
    relay.restore()
    kept = sum("/records/" in path for path in objects(s3))
    report = run(**config)["datasets"]["d/f"]
    assert labels(report).equals(labels(alone))
    assert 0 < report["splits"]["executed"] < whole
    assert report["splits"]["cached"] <= kept
    assert sum(report["splits"].values()) == whole


def test_data_sets_of_one_run_share_their_splits_in_a_bucket(s3: str, run: Run, blobs: Path) -> None:
    clustering = {"algorithm": "leiden", **LATENT}
    datasets = {name: {"input": {"clustering": {"f": str(blobs)}}, "clustering": clustering} for name in "ab"}
    found = run(DATASETS=datasets, output_dir=f"{s3}/out", cache=f"{s3}/cache", **SMALL)["datasets"]
    splits = [found[f"{name}/f"]["splits"] for name in "ab"]
    executed = sum(counts["executed"] for counts in splits)
    again = run(DATASETS=datasets, output_dir=f"{s3}/again", cache=f"{s3}/cache", **SMALL)["datasets"]
    each = again["a/f"]["splits"]["cached"]
    assert [again[f"{name}/f"]["splits"] for name in "ab"] == [{"executed": 0, "cached": each}] * 2
    assert executed == each
