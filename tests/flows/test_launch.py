"""`run` of the package's face: a configuration in, a summary out, wherever it is called."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cellstrata.configs import ConfigError, RunConfig
from cellstrata.flows.launch import RunFailed, run
from cellstrata.flows.monitor.summary import RunSummary
from cellstrata.flows.preparation import UnusableInputs
from tests.flows.conftest import HOME

N_SPLITS = 13  # level 1, and its 12 clusters


@pytest.fixture
def asked(blobs: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration as a mapping: two levels of the 12 groups."""
    clustering = {"algorithm": "leiden", "resolutions": [0.1], "hierarchy": 2, "neighbors": {"use_rep": "X_latent"}}
    return {
        "output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache"), "runner": "threads", "workers": 2,
        "DATASETS": {"d": {"input": {"clustering": {"f": str(blobs)}}, "clustering": clustering}},
    }  # fmt: skip


def check(summary: RunSummary, executed: int | None = None) -> None:
    (dataset,) = summary.datasets.values()
    assert dataset.error is None
    assert dataset.output is not None
    assert Path(dataset.output).is_dir()
    assert pd.read_parquet(str(dataset.labels))["leiden_0.1_1"].nunique() == dataset.clusters["leiden_0.1_1"] == 12
    assert dataset.columns == ("leiden_0.1_1", "leiden_0.1_2")
    assert dataset.splits.executed + dataset.splits.cached == N_SPLITS
    assert executed is None or dataset.splits.executed == executed
    assert summary.index is not None
    assert summary.seconds > 0


def in_a_thread(call: Callable[[], RunSummary]) -> RunSummary:
    found: list[RunSummary] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(120)
    assert found
    return found[0]


def in_a_loop(call: Callable[[], RunSummary]) -> RunSummary:
    """As a cell of a notebook is run: a function that blocks, in a loop that runs."""

    async def cell() -> RunSummary:
        assert asyncio.get_running_loop().is_running()
        return call()

    return asyncio.run(cell())


@pytest.mark.parametrize("where", [lambda call: call(), in_a_thread, in_a_loop], ids=["here", "thread", "loop"])
def test_it_runs_wherever_it_is_called(
    server: str, asked: dict[str, Any], where: Callable[[Callable[[], RunSummary]], RunSummary]
) -> None:
    check(where(lambda: run(asked)), executed=N_SPLITS)
    check(where(lambda: run(RunConfig(**asked))), executed=0)


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_within_another_flow_it_is_a_subflow(server: str, asked: dict[str, Any], kind: str) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
    from prefect.runtime import flow_run

    ids: list[Any] = []

    @flow
    def outer() -> None:
        ids.append(flow_run.id)
        check(run(asked), executed=N_SPLITS)

    @flow
    async def outer_async() -> None:
        ids.append(flow_run.id)
        check(run(asked), executed=N_SPLITS)

    async def children() -> list[Any]:
        of = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=ids))
        async with get_client() as client:
            return [each.state_type.value for each in await client.read_flow_runs(flow_run_filter=of)]

    if kind == "sync":
        outer()
    else:
        asyncio.run(outer_async())
    assert asyncio.run(children()) == ["COMPLETED"]


def test_a_file_the_environment_and_arguments(
    server: str, asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(asked))
    monkeypatch.setenv("CELLSTRATA_REPORT", "false")
    summary = run(path, output_dir=str(tmp_path / "other"), DATASETS__d__clustering__resolutions=[0.1, 0.2], seed=3)
    (dataset,) = summary.datasets.values()
    assert dataset.columns == ("leiden_0.1_1", "leiden_0.1_2", "leiden_0.2_1", "leiden_0.2_2")
    assert str(dataset.output).startswith(str(tmp_path / "other"))
    assert dataset.report is summary.index is None
    assert not (tmp_path / "out").exists()
    again = run(RunConfig(**asked), output_dir=str(tmp_path / "third"), seed=3)  # the environment does not go over this
    assert again.index is not None
    assert again.datasets["d/f"].splits.executed == 0


def test_what_is_wrong_is_raised(server: str, asked: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"argument wrokers: unknown key; did you mean `workers`"):
        run(asked, wrokers=2)
    with pytest.raises(ConfigError, match=r"argument DATASETS__e__clustering__seed"):
        run(RunConfig(**asked), DATASETS__e__clustering__seed=2)
    with pytest.raises(ConfigError, match="no such file"):
        run(tmp_path / "none.yaml")
    with pytest.raises(UnusableInputs, match="d/f"):
        run(asked, DATASETS__d__input__clustering__f=str(tmp_path / "none.h5ad"))
    assert not (tmp_path / "out").exists()


def test_a_failure_carries_the_summary(
    server: str, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch, blobs: Path
) -> None:
    asked["DATASETS"]["bad"] = asked["DATASETS"]["d"]

    def publish(finished: Any, *rest: Any) -> Any:
        if finished.source.dataset == "bad":
            raise ValueError("no room for it")
        return real(finished, *rest)

    from cellstrata.flows import dataset

    real = dataset.publish_result
    monkeypatch.setattr(dataset, "publish_result", publish)
    with pytest.raises(RunFailed, match="bad/f: no room for it") as caught:
        run(asked)
    assert caught.value.summary.failed == ("bad/f",)
    assert caught.value.summary.datasets["d/f"].output is not None


SCRIPT = """
import cellstrata.flows.launch
summary = cellstrata.flows.launch.run("config.yaml", runner="{runner}")
import os, sys
from prefect.settings import PREFECT_API_URL
assert "PREFECT_API_URL" not in os.environ and PREFECT_API_URL.value() is None
print(summary.datasets["d/f"].splits.executed, file=open("done", "a"))
"""


@pytest.mark.parametrize("runner", ["processes", "dask"])
def test_a_script_without_a_guard(asked: dict[str, Any], tmp_path: Path, runner: str) -> None:
    """It also starts a server of its own, of which nothing is left in the process."""
    if runner == "dask":
        pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(asked))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT.format(runner=runner)))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_API")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={**environment, "PREFECT_HOME": HOME.name},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "done").read_text() == f"{N_SPLITS}\n"
