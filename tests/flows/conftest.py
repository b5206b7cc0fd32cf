"""One real Prefect server for all flow tests, in a home of its own; nothing of the user's is touched."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd
import pytest

from cellstrata.configs import RunConfig
from tests.tasks.everything import load, save

HOME = tempfile.TemporaryDirectory(prefix="cellstrata-prefect-", ignore_cleanup_errors=True)
EMPTY = "empty.db"  # there, a copy of the server's database
os.environ.update(
    PREFECT_HOME=HOME.name,
    PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL",
    DO_NOT_TRACK="1",
    XDG_DATA_HOME=str(Path(HOME.name) / "data"),
    XDG_CACHE_HOME=str(Path(HOME.name) / "cache"),
)
os.environ.pop("PREFECT_API_URL", None)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Put back what the command `run`, called in this process, makes of the log."""
    log = logging.getLogger("cellstrata")
    handlers, propagate = list(log.handlers), log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    from cellstrata.flows.server.connection import Connection
    from cellstrata.flows.server.database import server_folder
    from cellstrata.flows.server.embedded_server import EmbeddedServer

    embedded = EmbeddedServer()
    embedded.start()
    embedded.wait()
    folder = server_folder()
    assert folder is not None
    made = sqlite3.connect(folder / "prefect.db")
    with closing(made), closing(sqlite3.connect(Path(HOME.name) / EMPTY)) as copy:
        made.backup(copy)
    os.environ["PREFECT_API_URL"] = embedded.url
    with Connection(embedded.url).settings():  # a test file that imports Prefect has had its settings read before
        yield embedded.url
    embedded.stop()


@pytest.fixture(scope="session")
def empty_database(server: str) -> Path:
    """A server's database before anything was written to it; to make one takes ten seconds of migrations."""
    return Path(HOME.name) / EMPTY


@pytest.fixture(scope="session")
def pbmc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 700 cells of the demo, as its own function writes them."""
    from cellstrata.flows.commands.demo import DATA, write_demo

    folder = tmp_path_factory.mktemp("demo")
    write_demo(str(folder))
    return folder / DATA


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,400 cells in 4 groups of 3 subgroups each, 12 dimensions, no X, no graph."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(4, 1, 12)) * 8 + rng.normal(size=(4, 3, 12)) * 2
    group = rng.integers(0, 12, size=2400)
    embedding = centres.reshape(12, 12)[group] + rng.normal(size=(2400, 12)) * 0.6
    obs = pd.DataFrame({"group": pd.Categorical((group // 3).astype(str))}, index=[f"c{i}" for i in range(2400)])
    adata = anndata.AnnData(obs=obs, obsm={"X_latent": embedding.astype(np.float32)})
    path = tmp_path_factory.mktemp("blobs") / "blobs.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def forms(pbmc: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The 700 cells as h5ad and as zarr."""
    folder = tmp_path_factory.mktemp("forms")
    shutil.copy(pbmc, folder / "input.h5ad")
    save(load(str(pbmc)), folder, "zarr3", "input")
    return {"h5ad": folder / "input.h5ad", "zarr": folder / "input.zarr"}


Cluster = Callable[..., tuple[int, str]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cluster:
    """`cellstrata cluster` in this process, in an empty folder with an empty cache.

    Returns its exit code and all it printed.
    """
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any) -> tuple[int, str]:
        from cellstrata.flows.commands.command import main

        code = main(["cluster", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(server: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`cellstrata …` in this process, on the server of all tests; returns what a process of its own would.

    That costs seconds of imports, and one without a server starts that too. `commands/test_command.py` tries
    the command in a shell; what it says of a run, a plan or a wrong input is the same here.
    """

    def call(*words: Any) -> subprocess.CompletedProcess[str]:
        from cellstrata.flows.commands.command import main

        capsys.readouterr()
        try:
            code = main([*map(str, words)])
        except SystemExit as ended:  # of the parser
            code = int(ended.code or 0)
        finally:
            gc.unfreeze()  # a run sets all that it has imported apart; here garbage of other tests is among it
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    with patch.dict(os.environ):  # what a command sets there for its own process goes with the test
        yield call


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(server: str) -> Run:
    """Run the flow on a configuration given as keywords of `RunConfig`; without figures and report unless asked for."""

    def call(**config: Any) -> dict[str, Any]:
        from cellstrata.flows.cluster import cluster
        from cellstrata.flows.monitor.outcome import summary_of

        async def summary() -> dict[str, Any]:
            asked = RunConfig(**{"runner": "threads", "workers": 2, "figures": False, "report": False, **config})
            return (await summary_of(await cluster(asked, return_state=True))).to_json()

        return asyncio.run(summary())

    return call


@pytest.fixture
def one(run: Run, tmp_path: Path) -> Run:
    """Run one file of one dataset, by single runs as `cluster` makes them, and return its report; failures raise."""

    def call(path: Path, settings: dict[str, Any], out: str = "out", **config: Any) -> dict[str, Any]:
        config = {"output_dir": str(tmp_path / out), "cache": str(tmp_path / "cache"), **config}
        clustering = {"algorithm": "leiden", "resolutions": [0.5], "ensemble": 1, **settings}
        datasets = {"d": {"input": {"clustering": {"f": str(path)}}, "clustering": clustering}}
        report: dict[str, Any] = run(DATASETS=datasets, **config)["datasets"]["d/f"]
        assert "error" not in report, report["error"]
        return report

    return call
