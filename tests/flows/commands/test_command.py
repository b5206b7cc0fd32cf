"""The command, as a person uses it: a shell, real processes, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests import ROOT
from tests.flows.conftest import Command

COMMAND = [sys.executable, "-m", "cellstrata.flows.commands.command"]


def cellstrata(*arguments: str, server: str | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | extra
    if server:
        environment["PREFECT_API_URL"] = server
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=300)


def config(tmp_path: Path, data: Path, **settings: object) -> str:
    clustering = {"algorithm": "leiden", "resolutions": [0.5], **settings}
    document = {
        "output_dir": str(tmp_path / "out"),
        "cache": str(tmp_path / "cache"),
        "DATASETS": {"d": {"input": {"clustering": {"f": str(data)}}, "clustering": clustering}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(document))
    return str(path)


def test_run_against_a_server_prints_a_table_and_json(server: str, tmp_path: Path, pbmc: Path) -> None:
    path = config(tmp_path, pbmc, hierarchy=2)
    done = cellstrata("run", path, "--json", "--workers", "1", server=server)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    report = document["datasets"]["d/f"]
    assert report["columns"] == ["leiden_0.5_1", "leiden_0.5_2"]
    assert Path(report["output"]).is_absolute()
    assert Path(report["output"]).is_dir()
    assert report["splits"]["executed"] > 1
    assert Path(report["report"]).is_file()
    assert Path(document["index"]).is_file()
    assert document["seconds"] > 0
    assert "d/f" in done.stderr
    again = cellstrata("run", path, "--runner", "threads", server=server)
    assert again.returncode == 0
    assert "d/f" in again.stdout
    assert f"report  {report['report']}" in again.stdout
    assert "Traceback" not in again.stderr
    assert "WARNING" not in again.stderr


def test_run_with_no_server_configured(tmp_path: Path, pbmc: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*COMMAND, "run", config(tmp_path, pbmc), "--json"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["datasets"]["d/f"]["splits"] == {
        "executed": 1,
        "cached": 0,
    }
    for noise in ("Traceback", "Error", "WARNING", "Stopping", "sqlite"):
        assert noise not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "missing.yaml"], "missing.yaml"),
        (["run", "CONFIG", "--workrs", "2"], "--workers"),
        (["run", "CONFIG", "--resolutions", "0"], "greater than 0"),
        (["run", "CONFIG", "--dask.address", "host:8786"], "tcp://"),
        (["run", "CONFIG", "--umap_colors", "[nonsense]"], "nonsense"),
    ],
)
def test_wrong_input_exits_with_2_and_a_short_message(
    arguments: list[str], said: str, command: Command, tmp_path: Path, pbmc: Path
) -> None:
    path = config(tmp_path, pbmc)
    done = command(*(path if word == "CONFIG" else word for word in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 10
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_schema_and_help(command: Command) -> None:
    schema = json.loads(command("schema").stdout)
    assert "DATASETS" in schema["properties"]
    assert "cellstrata run config.yaml" in cellstrata("--help").stdout
    assert "--any_key" in command("run", "--help").stdout
    assert cellstrata("frobnicate").returncode == 2


@pytest.mark.processes
def test_ctrl_c_stops_soon_leaves_no_process_and_loses_no_split(
    server: str, command: Command, tmp_path: Path, blobs: Path
) -> None:
    settings = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 4, "resolutions": [0.5, 1.0]}
    path = config(tmp_path, blobs, **settings)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server}
    records = tmp_path / "cache" / "v1" / "records"
    with subprocess.Popen(
        [*COMMAND, "run", path, "--grain", "200", "--workers", "1"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 240
        while len(list(records.rglob("*.json"))) < 8 and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        started = time.monotonic()
        _, errors = process.communicate(timeout=100)
    assert time.monotonic() - started < 60
    assert process.returncode == 130, errors
    assert "run again to resume" in errors
    assert "Traceback" not in errors
    for _ in range(50):  # multiprocessing's own tracker sees the pipe close a moment later
        if not (left := subprocess.run(["pgrep", "-ag", str(process.pid)], capture_output=True, text=True).stdout):
            break
        time.sleep(0.1)
    assert left == ""
    kept = sum('"kind":"split"' in record.read_text() for record in records.rglob("*.json"))
    resumed = json.loads(command("run", path, "--json", "--runner", "threads").stdout.splitlines()[-1])
    assert resumed["datasets"]["d/f"]["splits"]["cached"] >= kept


@pytest.mark.parametrize("words", [("--output_dir", "o"), ("--json", "--seed", "1"), ("--workers", "4", "--refresh")])
def test_a_value_is_not_taken_for_the_file(
    words: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("run", *words)
    assert done.returncode == 2
    assert "no configuration file is given" in done.stderr
    option = next(word for word, value in pairwise(words) if not value.startswith("--"))
    assert option in done.stderr.splitlines()[-1]


def test_a_server_that_does_not_answer_is_said_as_deploy_says_it(tmp_path: Path, blobs: Path) -> None:
    path = config(tmp_path, blobs, neighbors={"use_rep": "X_latent"}, recompute_neighbors=True)
    done = cellstrata("run", path, "--runner", "threads", server="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert "no Prefect server answers at http://127.0.0.1:9/api" in done.stderr
    assert "RuntimeError" not in done.stderr
