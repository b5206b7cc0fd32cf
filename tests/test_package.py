"""What is installed: the wheel that the sdist gives, in a clean environment, beside folders of the same names as ours.

A distributor builds from the sdist alone. A user of Prefect often has a `flows/` and a `tasks.py` of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import ROOT
from tests.flows.operating import free_port, wait_until

FOLDERS = ("configs", "tasks", "flows")
TRAP = "raise ImportError('this is the user\\'s own file, and nobody asked for it')\n"
WITHOUT_UMAP = ("--DATASETS.test_level1_multiresolution.clustering.recompute_umap", "false")  # most of the demo's time
pytestmark = pytest.mark.prefect


@dataclass(frozen=True)
class Installed:
    """A clean environment that holds the wheel, and a folder full of traps to work in."""

    python: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this environment in the folder; it must succeed."""
        program, *arguments = map(str, command)
        done = subprocess.run(
            [self.python.parent / program, *arguments],
            cwd=self.folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=600,  # the suite has a limit of its own for each test
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done


def built(kind: str, source: Path, destination: Path) -> Path:
    """Build an sdist or a wheel as pip does, through the project's own build backend."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(destination)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = destination.iterdir()
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the sdist alone."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return built("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a clean environment over the packages that are here, where nothing leads to this checkout."""
    home = tmp_path_factory.mktemp("home")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True, timeout=120)
    (packages,) = (home / "venv" / "lib").glob("python*/site-packages")
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "others.pth").write_text("\n".join(others))  # a .pth of theirs, as that of this checkout, is not read

    folder = home / "work"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(TRAP)
        (folder / f"{name}.py").write_text(TRAP)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHON"))}
    own = {
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_HOME": str(home / "prefect"),
        "CELLSTRATA_CACHE": str(home / "cache"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
    }
    return Installed(python, folder, inherited | own)


OWN = {f"cellstrata/{name}" for name in ("__init__.py", "__main__.py", "py.typed")}  # in src itself


def of_checkout() -> set[str]:
    """What the package must hold: the three folders as they are here, and what is in src itself."""
    found = {f"cellstrata/{path.relative_to(ROOT).as_posix()}" for name in FOLDERS for path in (ROOT / name).rglob("*")}
    found = {name for name in found if "__pycache__" not in name and (ROOT / name.partition("/")[2]).is_file()}
    return found | OWN


def test_the_wheel_holds_the_modules_of_the_checkout_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        tops = {name.partition("/")[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"cellstrata"}
        assert len(tops) == 2
        inside = {name for name in names if name.startswith("cellstrata/")}
        assert inside == of_checkout()
        for name in inside - OWN:
            assert archive.read(name) == (ROOT / name.partition("/")[2]).read_bytes()
    endings = {Path(name).suffix for name in inside}
    assert {".py", ".yaml", ".js", ".html", ".css", ".typed"} <= endings


def test_the_sdist_holds_files_and_no_links(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]


def test_the_traps_would_snap(installed: Installed) -> None:
    for name in FOLDERS:
        command = [str(installed.python), "-c", f"import {name}"]
        done = subprocess.run(command, cwd=installed.folder, capture_output=True, text=True, timeout=60)
        assert "nobody asked for it" in done.stderr
    where = installed.run("python", "-P", "-c", "import cellstrata; print(cellstrata.__file__)").stdout
    assert Path(where.strip()).is_relative_to(installed.python.parents[1])


def test_every_module_is_imported_beside_a_users_own(installed: Installed) -> None:
    code = """
import pathlib, pkgutil, sys, cellstrata
optional = ("engine_libreville", "dask", "dask_checks")  # of extras
for module in pkgutil.walk_packages(cellstrata.__path__, "cellstrata."):
    if module.name.rpartition(".")[2] not in optional:
        __import__(module.name)
print(len([name for name in sys.modules if name.startswith("cellstrata")]))
"""
    said = installed.run("python", "-c", code, PYTHONPATH=".").stdout
    assert int(said) > 200


@pytest.fixture(scope="module")
def demo(installed: Installed) -> Path:
    """The folder that `cellstrata demo` writes: with its own server, and spawned processes that split."""
    done = installed.run("cellstrata", "demo", "--runner", "processes", "--workers", "2", *WITHOUT_UMAP)
    assert "test_hierarchical_int" in done.stdout
    return installed.folder / "cellstrata-demo"


def test_the_demo_runs_beside_a_users_own_packages(installed: Installed, demo: Path) -> None:
    results = sorted((demo / "out" / "clustering").glob("dataset~*/*.zarr"))
    assert len(results) == 3
    version = installed.run("cellstrata", "--version", PYTHONPATH=".").stdout
    assert version.startswith("cellstrata 0.")


@pytest.fixture(scope="module")
def small(installed: Installed, demo: Path) -> Path:
    """A configuration of one of the demo's datasets, without figures, which computes every split anew."""
    clustering = {"algorithm": "leiden", "resolutions": [0.5], "neighbors_key": "neighbors", "hierarchy": 2}
    dataset = {"input": {"clustering": {"f": str(demo / "pbmc68k.h5ad")}}, "clustering": clustering}
    places = {"output_dir": str(installed.folder / "out"), "cache": str(installed.folder / "cache")}
    path = installed.folder / "small.yaml"
    path.write_text(
        json.dumps(
            places | {"workers": 2, "grain": 50, "report": False, "refresh": True, "DATASETS": {"blood": dataset}}
        )
    )
    return path


def test_a_run_with_the_folder_on_the_path_beside_a_users_own_packages(installed: Installed, small: Path) -> None:
    done = installed.run("cellstrata", "run", small, "--json", PYTHONPATH=".")
    assert json.loads(done.stdout.splitlines()[-1])["datasets"]["blood/f"]["splits"]["executed"] > 3


def test_a_program_runs_it_within_a_loop_beside_a_users_own_packages(installed: Installed, small: Path) -> None:
    code = f"""
import asyncio
from cellstrata import run

async def cell():
    return run({str(small)!r}, runner="threads", output_dir="of_program")

if __name__ == "__main__":
    print(asyncio.run(cell()).datasets["blood/f"].splits.executed)
"""
    assert int(installed.run("python", "-c", code, PYTHONPATH=".").stdout) > 3


def test_a_notebook_reads_results_beside_a_users_own_packages(installed: Installed, demo: Path) -> None:
    (result,) = demo.glob("out/clustering/dataset~test_hierarchical/*.zarr")
    code = f"""
import zarr
from cellstrata import linked_store, load_config, materialize, open_linked
print(open_linked({str(result)!r}).obs["leiden_0.5_2"].nunique())
print(zarr.open_group(linked_store({str(result)!r}), mode="r")["obsm/X_umap"].shape)
print(materialize({str(result)!r}, "share.zarr").objects)
print(load_config({str(demo / "demo.yaml")!r})[0].runner)
"""
    clusters, shape, objects, runner = installed.run("python", "-c", code, PYTHONPATH=".").stdout.splitlines()
    assert int(clusters) > 3
    assert shape == "(700, 2)"
    assert int(objects) > 20
    assert runner == "processes"


@pytest.fixture
def ui(installed: Installed) -> Iterator[str]:
    """`cellstrata ui`, started in the folder; its address."""
    port = str(free_port())
    command = [installed.python.parent / "cellstrata", "ui", "--port", port]
    log = installed.folder / "ui.log"
    with log.open("wb") as file:
        environment = installed.environment | {"PYTHONPATH": "."}
        server = subprocess.Popen(command, cwd=installed.folder, env=environment, stdout=file, stderr=file)
    try:
        wait_until(lambda: server.poll() is not None or "PREFECT_API_URL" in log.read_text(), 120, log.read_text)
        assert server.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def test_a_worker_runs_a_deployment_beside_a_users_own_packages(installed: Installed, small: Path, ui: str) -> None:
    there = {"PREFECT_API_URL": ui, "PYTHONPATH": "."}
    said = installed.run("cellstrata", "deploy", small, **there).stdout
    assert "\ncluster/small " in f"\n{said}"
    shutil.rmtree(installed.folder / "out", ignore_errors=True)
    installed.run("python", "-m", "prefect", "deployment", "run", "cluster/small", **there)
    worker = ["prefect", "worker", "start", "--pool", "cellstrata", "--run-once", "--type", "process"]
    log = installed.run("python", "-m", *worker, **there)
    assert len(list(installed.folder.glob("out/clustering/dataset~blood/*.zarr"))) == 1, log.stdout + log.stderr
