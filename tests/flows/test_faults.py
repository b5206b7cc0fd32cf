"""Runs whose input, cache and results lie in a bucket that fails; `benchmarks/faults.py` does the same at length."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache_care.verify import verify
from cellstrata.tasks.stores.store import Store
from tests.faulty_proxy import FaultyProxy
from tests.flows.conftest import Run
from tests.flows.planted import LARGE, write

RUN = {"resolutions": [0.1], "hierarchy": 2}
QUICK = {"s3": {"config_kwargs": {"read_timeout": 2, "connect_timeout": 1, "retries": {"max_attempts": 0}}}}


@pytest.fixture
def bucket(s3: str, proxy: FaultyProxy, tmp_path: Path) -> dict[str, Any]:
    """The keywords of a run of the 182 cells, all of it in S3 behind the proxy."""
    store = Store.at(s3, QUICK)
    store.write("in.h5ad", Path(write(tmp_path)).read_bytes())
    clustering = {"algorithm": "leiden", **RUN}
    return {
        "output_dir": f"{s3}/out", "cache": f"{s3}/cache", "storage_options": QUICK, "report": True,
        "DATASETS": {"d": {"input": {"clustering": {"f": f"{s3}/in.h5ad"}}, "clustering": clustering}},
    }  # fmt: skip


def labels(report: dict[str, Any]) -> list[str]:
    return list(pd.read_parquet(report["labels"]).iloc[:, 0].astype(str))


def sound(bucket: dict[str, Any]) -> bool:
    return verify(Cache(Store.at(bucket["cache"]))).is_sound


def test_faults_that_pass_cost_nothing(run: Run, bucket: dict[str, Any], proxy: FaultyProxy) -> None:
    kinds = ("slow down", "reset", "short read", "server error", "truncated", "refused")
    reads = itertools.count()

    def decide(method: str, path: str, number: int) -> str | None:
        at = next(reads) if method == "GET" else 0
        return kinds[at // 5 % len(kinds)] if at % 5 == 3 else None

    proxy.decide = decide
    report = run(**bucket)["datasets"]["d/f"]
    assert all(proxy.traffic.injected[kind] > 0 for kind in kinds)
    proxy.decide = lambda *_: None
    assert "error" not in report, report
    assert labels(report) == LARGE
    assert sound(bucket)


def test_a_fault_that_lasts_ends_a_run_clearly_and_the_next_resumes(
    run: Run, bucket: dict[str, Any], proxy: FaultyProxy
) -> None:
    records = itertools.count()
    broken: list[bool] = []

    def decide(method: str, path: str, number: int) -> str | None:
        if method == "PUT" and "/records/" in path and next(records) > 2:
            broken.append(True)
        return "expired" if broken and method != "HEAD" else None

    proxy.decide = decide
    report = run(**bucket)["datasets"]["d/f"]
    proxy.decide = lambda *_: None
    assert "the credentials are refused (ExpiredToken); renew them" in report["error"]
    assert len(report["error"].splitlines()) == 1
    again = run(**bucket)["datasets"]["d/f"]
    assert "error" not in again, again
    assert labels(again) == LARGE
    assert sound(bucket)


@pytest.mark.parametrize(
    ("fault", "methods", "said"),
    [
        ("no bucket", ("PUT",), "there is no such bucket"),
        ("denied", ("PUT",), "nothing can be written to"),
        ("expired", ("GET", "HEAD", "PUT"), "the credentials are refused (ExpiredToken)"),
    ],
)
def test_what_the_user_must_mend_is_said_before_work_starts(
    fault: str, methods: tuple[str, ...], said: str, bucket: dict[str, Any], proxy: FaultyProxy, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(bucket))
    monkeypatch.setattr(sys, "argv", ["cellstrata", "run", str(path)])
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", "http://127.0.0.1:9/api")  # nobody: no server is asked
    proxy.decide = lambda method, path, number: fault if method in methods else None
    assert main(["run", str(path)]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "output_dir: " in printed
    assert "Traceback" not in printed
