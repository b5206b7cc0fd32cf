"""Malformed configurations, inputs and calls: exit code 2, a short message that says where, nothing written."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest

from cellstrata.flows.server.connection import Connection
from tests import ROOT
from tests.flows.commands.broken_inputs import cells, holding, unreadable
from tests.flows.commands.malformed_cases import AGAIN, NAN, TABLE, Case, data
from tests.tasks.everything import tree_hash

COMMAND = str(Path(sys.executable).with_name("cellstrata"))
NOT_PREFECT = """
import contextlib, json, sys
from unittest.mock import patch
from cellstrata.flows.server.connection import Connection
no_server = lambda: contextlib.nullcontext(Connection(None))
from cellstrata.flows.commands.command import main
with patch("cellstrata.flows.launch.connection", no_server):
    codes = [main(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([codes, "prefect" in sys.modules]))
"""


def no_server() -> contextlib.AbstractContextManager[Connection]:
    """A connection to no server."""
    return contextlib.nullcontext(Connection(None))


def environment(folder: Path) -> dict[str, str]:
    """Keep everything that a run may write in the folder that is watched."""
    return {
        "CELLSTRATA_CACHE": str(folder / "cache"),
        "XDG_CACHE_HOME": str(folder / "xdg"),
        "PREFECT_HOME": str(folder / "prefect"),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder in which no server is started."""
    monkeypatch.setattr("cellstrata.flows.launch.connection", no_server)
    monkeypatch.chdir(tmp_path)
    with patch.dict(os.environ, environment(tmp_path)):
        yield tmp_path
    assert gc.isenabled()  # as it was before


def prepared(case: Case, folder: Path) -> str:
    """Make what a case needs, and return the digest of all that is there."""
    case.make(folder)
    if case.config is not None:
        content = case.config if isinstance(case.config, bytes) else case.config.encode()
        (folder / "config.yaml").write_bytes(content)
    return tree_hash(str(folder))


def check(message: str, words: tuple[str, ...]) -> None:
    lines = message.strip().splitlines()
    assert 1 <= len(lines) <= 10, message
    assert max(map(len, lines)) <= 300, message
    assert "Traceback" not in message, message
    for word in words:
        assert word in message, (word, message)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{kind}: {case.name}") for kind, cases in TABLE.items() for case in cases],
)
def test_it_is_refused_and_nothing_is_written(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cellstrata.flows.commands.command import main

    for name, value in case.env.items():
        monkeypatch.setenv(name, value)
    if case.make is unreadable and os.geteuid() == 0:
        pytest.skip("root may read everything: run it as another user")
    before = prepared(case, folder)
    try:
        code = main(shlex.split(case.command))
    except SystemExit as refused:  # how argparse ends
        code = refused.code
    written = capsys.readouterr()
    assert code == 2, written
    check(written.err.replace(str(folder), "."), case.words)
    assert written.out == ""
    assert tree_hash(str(folder)) == before


def shell(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own, with a home that is watched too."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CELLSTRATA_"))}
    env |= environment(folder) | {"HOME": str(folder)} | more
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_prefect_is_not_imported_before_all_is_known_to_be_right(tmp_path: Path) -> None:
    prepared(data("", holding("obsm/X_pca", 7, NAN), AGAIN), tmp_path)
    (tmp_path / "in.zarr").mkdir()
    before = tree_hash(str(tmp_path))
    calls = ["run none.yaml", "run config.yaml --workers 0", "run config.yaml", "run config.yaml --dask.address host",
             "cluster in.zarr one.zarr", "collect in.h5ad none.zarr --output all.csv", "migrate none.yaml"]  # fmt: skip
    arguments = json.dumps([words.split() for words in calls])
    done = shell([sys.executable, "-c", NOT_PREFECT, arguments], tmp_path, PYTHONPATH=str(ROOT))
    assert json.loads(done.stdout) == [[2] * len(calls), False], done
    assert tree_hash(str(tmp_path)) == before


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run config.yaml --workrs 2", ("config.yaml", "--workrs", "`--workers`")),
        ("run config.yaml --dask.address host:8786", ("--dask.address", "tcp://")),
        ("cluster in.zarr one.zarr", ("in.zarr", "no such file")),
        ("frobnicate", ("frobnicate",)),
    ],
)
def test_through_the_shell(command: str, words: tuple[str, ...], tmp_path: Path) -> None:
    before = prepared(data("", cells, ""), tmp_path)
    done = shell([COMMAND, *command.split()], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    check(done.stderr, words)
    assert tree_hash(str(tmp_path)) == before  # no home of Prefect either


def test_a_server_that_was_started_beside_is_gone_soon(tmp_path: Path) -> None:
    prepared(data("", holding("obsm/X_pca", 7, NAN), AGAIN), tmp_path)
    before, home = tree_hash(str(tmp_path)), tmp_path / "prefect"
    started = time.monotonic()
    done = shell([COMMAND, "run", "config.yaml"], tmp_path)
    assert time.monotonic() - started < 120  # not the limit of a server that starts
    assert (done.returncode, done.stdout) == (2, "")
    check(done.stderr, ("obsm['X_pca']", "row 7"))
    for process in psutil.process_iter(["environ"]):
        assert (process.info["environ"] or {}).get("PREFECT_HOME") != str(home)
    shutil.rmtree(home, ignore_errors=True)  # the server's, if it came so far
    assert tree_hash(str(tmp_path)) == before
