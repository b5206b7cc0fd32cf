"""`cellstrata cache info | verify | prune`, on caches that runs have made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cellstrata.configs.amounts import bytes_of, seconds_of, size_text
from cellstrata.configs.errors import ConfigError
from cellstrata.flows.commands.command import main
from cellstrata.tasks.cache.leases import LEASES, live_leases, using
from cellstrata.tasks.trees.umap import ComputedUmap
from tests import ROOT
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import load, tree_hash
from tests.tasks.small import cache_at
from tests.tasks.small_caches import DAY, add_entry, set_age, there

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`cellstrata cache` over the cache in `cache`; returns its exit code and what it printed where."""
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = main(["cache", *words])
        except SystemExit as stop:
            code = int(str(stop.code))
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def clustered(forms: dict[str, Path], cluster: Cluster, tmp_path: Path) -> Path:
    """The folder of the cache of two levels."""
    assert cluster(forms["h5ad"], "l1.zarr")[0] == 0
    assert cluster("l1.zarr", "l2.zarr", "--level", 2, "--resolution", 0.5)[0] == 0
    return tmp_path / "cache"


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_info(clustered: Path, about: Command) -> None:
    code, out, err = about("info")
    assert (code, err) == (0, "")
    head, kinds, ages, datasets = out.split("\n\n")
    assert head.splitlines()[0] == f"cache  {clustered}"
    assert {line.split()[0] for line in kinds.splitlines()} >= {"kind", "graph", "split"}
    assert ages.splitlines()[1].startswith("within a day")
    assert [line.split()[0] for line in datasets.splitlines()[:3]] == ["dataset", "l1.zarr", "l2.zarr"]
    assert len({len(line) for line in kinds.splitlines()}) == 1
    report = json.loads(about("info", "--json")[1])
    assert report["size"] == size_of(clustered)
    assert report["entries"] == sum(kind["count"] for kind in report["kinds"].values())
    assert [dataset["name"] for dataset in report["datasets"]] == ["l1.zarr", "l2.zarr", ""]
    assert all(dataset["own"] > 0 for dataset in report["datasets"][:2])
    assert report["datasets"][2]["entries"] == 0, "the notes name everything"
    assert report["runs"] == []


def test_info_of_a_cache_in_use_and_of_another(clustered: Path, about: Command, tmp_path: Path) -> None:
    with using(cache_at(clustered)):
        assert f"in use by process {os.getpid()} on " in about("info")[1]
    (tmp_path / "empty").mkdir()
    for url in (str(tmp_path / "empty"), str(tmp_path / "absent"), "memory://nothing/there"):
        code, out, err = about("info", "--cache", url)
        assert (code, err) == (0, "")
        assert out.splitlines() == [f"cache  {url}", "size   0 B, 0 entries"]
        assert about("verify", "--cache", url)[0] == 0
        assert about("prune", "--cache", url, "--max_size", "0")[0] == 0
    assert not (tmp_path / "absent").exists()


def test_everything_that_a_run_uses_is_named_by_its_note(
    one: Run, blobs: Path, about: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(cache: Any, *_: Any) -> ComputedUmap:  # a real one takes half a minute to compile
        coordinates = cache.put(np.ones((2400, 2), np.float32))
        cache.write_record("umap", "f" * 32, {"arrays": {"umap": coordinates.to_json()}})
        return ComputedUmap(coordinates=coordinates, n_cells=2400, seconds=0.0, fallback=None)

    monkeypatch.setattr("cellstrata.flows.dataset.compute_umap", drawn)
    one(blobs, {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 3, "recompute_umap": True}, grain=300, report=True)
    report = json.loads(about("info", "--json")[1])
    assert {"bundle", "graph", "knn", "split", "umap"} <= set(report["kinds"])
    dataset, rest = report["datasets"]
    assert dataset["name"] == "d/f"
    assert dataset["shared"] == 0
    assert (rest["entries"], rest["own"]) == (0, 0)
    assert report["runs"] == [], "the run gave its lease back"
    assert about("verify")[0] == 0


def test_verify(clustered: Path, about: Command) -> None:
    before = tree_hash(str(clustered))
    code, out, err = about("verify")
    assert (code, err) == (0, "")
    assert out.splitlines()[2] == "damaged  nothing"
    chunk = max(clustered.rglob("c/0*"), key=lambda path: path.stat().st_size * path.is_file())
    chunk = next(path for path in [chunk, *chunk.rglob("*")] if path.is_file())
    good = chunk.read_bytes()
    chunk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    code, out, err = about("verify")
    assert code == 1
    assert "is not what its name says" in err
    assert "mends it" in err
    assert not json.loads(about("verify", "--json")[1])["sound"]
    chunk.write_bytes(good)
    assert about("verify")[0] == 0
    assert tree_hash(str(clustered)) == before


def test_prune_and_the_same_labels_again(
    clustered: Path, cluster: Cluster, forms: dict[str, Path], about: Command
) -> None:
    first = load("l2.zarr").obs
    whole = size_of(clustered)
    before = tree_hash(str(clustered))
    code, planned, _ = about("prune", "--max_size", str(whole * 3 // 4), "--dry_run")
    assert code == 0
    assert "would be removed" in planned
    assert tree_hash(str(clustered)) == before
    code, done, err = about("prune", "--max_size", str(whole * 3 // 4))
    assert (code, err) == (0, "")
    assert done.splitlines()[-1] == planned.splitlines()[-1]
    assert 0 < size_of(clustered) <= whole * 3 // 4
    assert about("verify")[0] == 0
    for path in clustered.rglob("*"):  # an array of no entry, as of an input too new to be remembered, stays an hour
        os.utime(path, (time.time() - 7200,) * 2)
    report = json.loads(about("prune", "--older_than", "1h", "--json")[1])
    assert (report["after"], size_of(clustered)) == (0, 0)
    assert report["removed"]["entries"]["count"] > 0
    code, printed = cluster("l1.zarr", "l2.zarr", "--level", 2, "--resolution", 0.5, "--overwrite")
    assert code == 0
    assert "9 splits computed, 0 from cache" in printed
    pd.testing.assert_frame_equal(load("l2.zarr").obs, first)


def test_prune_keeps_what_a_run_uses(tmp_path: Path, about: Command) -> None:
    cache = cache_at(tmp_path / "cache")
    add_entry(cache, 1, age=90 * DAY)
    add_entry(cache, 2, age=60)
    with using(cache):
        code, _, err = about("prune", "--older_than", "0m")
        assert code == 0
        assert "a run uses this cache" in err
    assert there(cache, 1, 2) == [2]


def test_a_run_holds_a_lease(
    forms: dict[str, Path], cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellstrata.flows.commands import cluster as cluster_command

    held: list[int] = []
    publish = cluster_command.publish_level

    def publishes(*arguments: Any) -> dict[str, Any]:
        held.extend(lease.pid for lease in live_leases(cache_at(tmp_path / "cache")))
        return publish(*arguments)

    monkeypatch.setattr(cluster_command, "publish_level", publishes)
    assert cluster(forms["h5ad"], "out.zarr")[0] == 0
    assert held == [os.getpid()]
    assert not live_leases(cache_at(tmp_path / "cache"))


def test_a_dead_lease_holds_up_no_run(forms: dict[str, Path], cluster: Cluster, tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    cache.store.write(f"{LEASES}/{'ab' * 16}.json", b'{"host": "gone", "pid": 1, "started": "2020-01-01T00:00:00Z"}')
    assert cluster(forms["h5ad"], "one.zarr")[0] == 0
    set_age(cache, f"{LEASES}/{'ab' * 16}.json", DAY)
    assert cluster(forms["h5ad"], "two.zarr")[0] == 0
    assert main(["cache", "prune", "--cache", str(tmp_path / "cache"), "--older_than", "0d"]) == 0
    assert size_of(tmp_path / "cache") == 0


WRONG = {
    ("prune",): "--older_than 30d, --max_size 50GB",
    ("prune", "--older_than", "30"): "write --older_than 30d, 12h, 2w or 90m",
    ("prune", "--older_than", "-3d"): "--older_than",
    ("prune", "--older_than", "3 months"): "write --older_than 30d",
    ("prune", "--max_size", "50G"): "write --max_size 50GB",
    ("prune", "--max_size", "lots"): "write --max_size 50GB",
    ("prune", "--max_size", "-1"): "--max_size",
    ("prune", "--max_size", "1GB", "--older"): "--older",
    ("info", "--cache", ""): "--cache: is empty",
    ("info", "--cache", "nowhere://x"): "cannot be reached",
    ("verify", "--max_size", "1GB"): "--max_size",
    ("clear",): "clear",
    (): "COMMAND",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_what_is_wrong_is_said(words: tuple[str, ...], about: Command, tmp_path: Path) -> None:
    add_entry(cache_at(tmp_path / "cache"), 1, age=400 * DAY)
    code, out, err = about(*words)
    assert code == 2
    assert out == ""
    assert WRONG[words] in err
    assert there(cache_at(tmp_path / "cache"), 1)


def test_no_cache_and_a_bad_environment(about: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "atlas.h5ad").write_text("precious")
    for words in (("info",), ("verify",), ("prune", "--max_size", "0")):
        for place in ("data", "data/atlas.h5ad"):
            code, _, err = about(*words, "--cache", str(tmp_path / place))
            assert code == 2
            assert "cache" in err
    assert os.listdir(tmp_path / "data") == ["atlas.h5ad"]
    monkeypatch.setenv("CELLSTRATA_WORKERS", "nonsense")  # is no business of a cache
    assert about("info")[0] == 0
    monkeypatch.setenv("CELLSTRATA_STORAGE_OPTIONS", "{s3: 3}")
    assert about("info")[0] == 2


def test_what_cannot_be_removed_is_a_failure(about: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_entry(cache_at(tmp_path / "cache"), 1, age=400 * DAY)

    def refuses(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "unlink", refuses)
    code, out, err = about("prune", "--max_size", "0")
    assert code == 1
    assert "Permission denied" in err
    assert "1.0 KB before" in out or "B before" in out
    assert there(cache_at(tmp_path / "cache"), 1)


def test_interrupted(about: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cellstrata.flows.commands.cache.survey", interrupt)
    assert about("info")[0] == 130


def test_other_things_are_told(about: Command, tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    add_entry(cache, 1)
    for key in ("v2/arrays/x", "notes.txt", "v1/a", "v1/b", "v1/c", f"v1/claims/{'ab' * 16}.json.0123456789ab.part"):
        cache.store.write(key, b"1234")
    os.symlink(tmp_path, tmp_path / "cache" / "v1" / "link")
    _, _, err = about("info")
    assert "v1/link" in err
    assert "v2: 1 files of another version, 4 B" in err
    assert "and 1 more" in err
    assert "interrupted writes" in err


def test_prefect_is_not_imported(tmp_path: Path) -> None:
    program = """
import sys
from cellstrata.flows.commands.command import main
for words in (["info"], ["verify"], ["prune", "--max_size", "0"]):
    assert main(["cache", *words]) == 0
heavy = ("prefect", "scanpy", "fastapi", "anndata", "pandas", "scipy", "faiss")
assert not [name for name in sys.modules if name.split(".")[0] in heavy], sorted(sys.modules)
"""
    add_entry(cache_at(tmp_path / "cache"), 1)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CELLSTRATA_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 30 * DAY), ("12h", 43200), ("2w", 14 * DAY), ("90m", 5400), ("1.5 H", 5400), ("0d", 0)],
)
def test_spans_of_time(text: str, seconds: float) -> None:
    assert seconds_of(text, "--older_than") == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * 10**9), ("500mb", 5 * 10**8), ("1.5TiB", 3 * 2**39), ("12345678901234", 12345678901234),
     ("0", 0), ("7 B", 7), ("1KiB", 1024), ("2.5kB", 2500)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert bytes_of(text, "--max_size") == size


@pytest.mark.parametrize("text", ["", "d", "30", "1e3d", "-1d", "nan d", "٣d", "9" * 400 + "d", "3dd", "1 2d", "1.d"])
def test_what_is_no_time_and_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="write --x 30d"):
        seconds_of(text, "--x")
    with pytest.raises(ConfigError, match="write --x 50GB"):
        bytes_of(text if text != "30" else "30 X", "--x")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (99_499, "99.5 KB"), (99_600, "100 KB"), (999_600, "1.0 MB"),
     (123_456_789, "123 MB"), (50 * 10**9, "50.0 GB"), (10**19, "10000 PB")],
)  # fmt: skip
def test_sizes_as_text(size: int, text: str) -> None:
    assert size_text(size) == text
