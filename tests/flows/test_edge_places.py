"""Places that are hard to write to or to name: odd paths, read-only folders, a full disk."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cellstrata.tasks.publishing.staging
import cellstrata.tasks.stores.local_disk
from cellstrata.flows.commands.command import main
from cellstrata.flows.preparation import UnusableInputs
from tests.flows.conftest import Cluster, Run
from tests.flows.planted import LARGE, OPTIONS, SMALL, labels, leftovers, result, write
from tests.tasks.everything import tree_hash

ODD = ["with space ü ☃ 100%20 #1", "[a-z]*?{x}.zarr", "~a::b$HOME'\"\\;&"]
RUN = {"resolutions": [0.1], "hierarchy": 2}


@pytest.mark.parametrize("name", ODD)
def test_odd_paths(name: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / name
    folder.mkdir()
    source = write(folder, "zarr2" if ODD.index(name) % 2 else "h5ad")
    before = tree_hash(source)
    monkeypatch.setenv("CELLSTRATA_CACHE", str(folder / "cache"))
    one, two = folder / f"{name} 1.zarr", folder / f"{name} 2.zarr"
    assert cluster(source, one, *OPTIONS)[0] == 0
    assert cluster(one, f"file://{two}", *OPTIONS, "--level", "2")[0] == 0
    assert (labels(one), labels(two)) == (LARGE, SMALL)
    assert tree_hash(source) == before
    assert {path.name for path in folder.iterdir()} == {Path(source).name, "cache", one.name, two.name}
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_odd_paths_in_a_run(one: Run, tmp_path: Path) -> None:
    folder = tmp_path / " ".join(ODD)
    folder.mkdir()
    source = write(folder)
    for _ in range(2):  # the second shares what the first converted
        report = one(Path(source), RUN, output_dir=str(folder / "out"), cache=str(folder / "cache"), refresh=True)
        assert [list(result(report["output"]).obs[column]) for column in report["columns"]] == [LARGE, SMALL]
        shutil.rmtree(Path(report["labels"]).parent)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert not leftovers(folder)


# read-only folders


def only_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the right to write away from a folder and all in it, for root too as far as it asks."""
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    allowed = os.access

    def access(path: Any, mode: int) -> bool:
        forbidden = Path(path) == folder or folder in Path(path).parents
        return allowed(path, mode) and not (mode & os.W_OK and forbidden)

    monkeypatch.setattr(os, "access", access)


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_inputs_are_never_written(form: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    source = write(tmp_path / "data", form)
    only_read(tmp_path / "data", monkeypatch)
    before = tree_hash(source)
    assert cluster(source, "one.zarr", *OPTIONS)[0] == 0
    assert cluster("one.zarr", "two.zarr", *OPTIONS, "--level", "2")[0] == 0
    assert labels("two.zarr") == SMALL
    assert tree_hash(source) == before


def test_a_folder_that_may_not_be_written_is_said_before_any_work(
    cluster: Cluster, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, locked = write(tmp_path), tmp_path / "locked"
    locked.mkdir()
    only_read(locked, monkeypatch)
    for output, cache, key in (
        (locked / "new" / "out.zarr", tmp_path / "cache", "OUTPUT"),
        (locked / "out.zarr", tmp_path / "cache", "OUTPUT"),
        (tmp_path / "out.zarr", locked / "cache", "cache"),
    ):
        monkeypatch.setenv("CELLSTRATA_CACHE", str(cache))
        code, said = cluster(source, output)
        assert code == 2, said
        assert said == f"error: {key}: nothing may be written to the folder {locked}; name another place\n"
        settings = {"algorithm": "leiden", "resolutions": [0.5]}
        datasets = {"d": {"input": {"clustering": {"f": source}}, "clustering": settings}}
        with pytest.raises(UnusableInputs, match=f"nothing may be written to the folder {locked}"):
            run(DATASETS=datasets, output_dir=str(output.parent), cache=str(cache))
    assert main(["collect", source, "--output", str(locked / "labels.csv")]) == 2
    assert f"nothing may be written to the folder {locked}; choose another output" in capsys.readouterr().err
    assert not list(locked.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"in.h5ad", "locked"}


def test_a_folder_that_turns_out_to_be_read_only(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, made = write(tmp_path), Path.mkdir

    def mkdir(self: Path, *rest: Any, **more: Any) -> None:
        if self.name.endswith(".part"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        made(self, *rest, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    code, said = cluster(source, "out.zarr")
    assert code == 1
    assert f"failed: {tmp_path}/.out.zarr." in said
    assert "Permission denied; check its permissions, or name another place" in said
    assert not Path("out.zarr").exists()


# a full disk


def full(*_: Any) -> None:
    """Say what a full disk says, which names no file."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def cache_is_full(patch: pytest.MonkeyPatch, part: str) -> None:
    """Let half of each file of the cache be written."""
    real = cellstrata.tasks.stores.local_disk._open_new

    class Half:
        def __init__(self, path: str) -> None:
            self.path, self.file = path, real(path)

        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

        def write(self, data: Any) -> None:
            self.file.write(data[: len(data) // 2] if part in self.path else data)
            if part in self.path:
                full()

    patch.setattr(cellstrata.tasks.stores.local_disk, "_open_new", Half)


def arrays_are_full(patch: pytest.MonkeyPatch) -> None:
    """Let half of each array of the cache be written; all lie beside their records, as large ones do."""
    patch.setattr("cellstrata.tasks.cache.cache.INLINE", 0)
    cache_is_full(patch, "/c/0")


def result_is_full(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let a result be written up to so many files."""
    real, written = cellstrata.tasks.publishing.staging.StagedStore.set, iter(range(10**9))

    async def write_some(self: Any, key: str, value: Any) -> None:
        if next(written) >= after:
            full()
        await real(self, key, value)

    patch.setattr(cellstrata.tasks.publishing.staging.StagedStore, "set", write_some)


Fill = Callable[[pytest.MonkeyPatch], None]
FULL: dict[str, tuple[Fill, str]] = {
    "an array of the cache": (lambda patch: arrays_are_full(patch), "/cache/v1/arrays/"),
    "a record of the cache": (lambda patch: cache_is_full(patch, "/records/"), "/cache/v1/records/"),
    "the start of the result": (lambda patch: result_is_full(patch, 0), ".zarr"),
    "the midst of the result": (lambda patch: result_is_full(patch, 40), ".zarr"),
    "the place of the result": (
        lambda patch: patch.setattr(cellstrata.tasks.stores.local_disk, "replace_folder", full),
        ".zarr",
    ),
}


def test_a_full_disk_leaves_the_old_result_and_no_trace(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write(tmp_path), tmp_path / "out.zarr"
    assert cluster(source, out, "--resolution", "0.2")[0] == 0
    before = tree_hash(source), tree_hash(str(out))
    shutil.rmtree(tmp_path / "cache")
    for fill, place in FULL.values():
        with monkeypatch.context() as patch:
            fill(patch)
            code, said = cluster(source, out, *OPTIONS, "--overwrite")
        assert code == 1, said
        assert f"failed: {tmp_path}" in said
        assert f"{place}" in said
        assert "No space left on device; free some space there" in said
        assert len(said.splitlines()) <= 10
        assert not leftovers(tmp_path)
        assert (tree_hash(source), tree_hash(str(out))) == before
    assert cluster(source, out, *OPTIONS, "--overwrite")[0] == 0
    assert labels(out) == LARGE


def test_a_full_disk_in_a_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path)
    settings = {"algorithm": "leiden", **RUN}
    datasets = {"d": {"input": {"clustering": {"f": source}}, "clustering": settings}}
    config: dict[str, Any] = {"output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    first = run(DATASETS=datasets, **config)["datasets"]["d/f"]
    before = tree_hash(source), tree_hash(first["output"])
    datasets["d"]["clustering"] = settings | {"resolutions": [0.1, 3.0]}
    fills = [FULL[name] for name in ("an array of the cache", "the midst of the result")]
    parquet: Fill = lambda patch: cache_is_full(patch, "labels.parquet")  # noqa: E731
    for fill, place in [*fills, (parquet, "labels.parquet")]:
        with monkeypatch.context() as patch:
            fill(patch)
            report = run(DATASETS=datasets, **config)["datasets"]["d/f"]
        assert "No space left on device" in report["error"]
        assert place in report["error"]
        assert not leftovers(tmp_path)
        assert tree_hash(source) == before[0]
        assert place == "labels.parquet" or tree_hash(first["output"]) == before[1]
    report = run(DATASETS=datasets, **config)["datasets"]["d/f"]
    assert report["splits"]["executed"] == 0
    tables = [result(report["output"]).obs, pd.read_parquet(report["labels"])]
    found, beside = ([list(table[column]) for column in report["columns"]] for table in tables)
    assert found == beside
    assert found[:2] == [LARGE, SMALL]
    assert len(set(found[2])) > 3
