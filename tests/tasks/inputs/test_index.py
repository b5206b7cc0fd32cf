"""Inputs that have not changed are not read again; anything that may have changed is."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import fsspec
import numpy as np
import pytest

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.inputs.index import RECENT
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import save
from tests.tasks.places import opened
from tests.tasks.small import CELLS, cache_at, graph_of

HOUR = 3600


def table() -> ad.AnnData:
    adata = ad.AnnData(obsm={"X_pca": CELLS}, obsp={"connectivities": graph_of(CELLS).to_csr()})
    adata.uns["neighbors"] = {"params": {"n_neighbors": 10}}
    return adata


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The embeddings and graphs that are read from an input."""
    found: list[str] = []
    for name in ("read_obsm", "read_obsp"):
        real = getattr(elements, name)

        def reading(root: Any, key: str, real: Any = real) -> Any:
            found.append(key)
            return real(root, key)

        monkeypatch.setattr(elements, name, reading)
    return found


Look = Callable[..., Input]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def call(url: str, cache: Cache | None = None, **more: Any) -> Input:
        config = ClusteringConfig(algorithm="leiden", resolutions=1, hierarchy=2)
        place = cache or cache_at(tmp_path / "cache")
        found, problems = inspect_input("d", "f", Place(url), config, str(tmp_path / "out"), place, **more)
        assert found is not None, problems
        return found

    return call


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files as a run of an hour later does."""
    now = time.time_ns
    monkeypatch.setattr("cellstrata.tasks.inputs.index.time.time_ns", lambda: now() + HOUR * 10**9)


BOTH = ["X_pca", "connectivities"]


@pytest.mark.parametrize("form", ["h5ad", "zarr2", "zarr3"])
def test_an_unchanged_input_is_read_once(form: str, later: None, look: Look, read: list[str], tmp_path: Path) -> None:
    path = save(table(), tmp_path, form)
    first = look(path)
    assert read == BOTH
    assert look(path) == first
    assert read == BOTH
    assert look(path, rehash=True) == first
    assert read == BOTH * 2


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_what_is_recent_is_not_trusted(form: str, look: Look, read: list[str], tmp_path: Path) -> None:
    path = save(table(), tmp_path, form)
    look(path)
    look(path)
    assert read == BOTH * 2
    assert RECENT >= 2  # the coarsest times that file systems in use have


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_a_changed_value_is_seen_whatever_the_times_say(
    form: str, later: None, look: Look, read: list[str], tmp_path: Path
) -> None:
    path = save(table(), tmp_path, form)
    first = look(path)
    times = {file: os.stat(file) for file in [path, *map(str, Path(path).rglob("*"))]}
    adata = table()
    adata.obsm["X_pca"] = CELLS + np.float32(1)
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    save(adata, tmp_path, form)
    for file, stat in times.items():
        if os.path.exists(file):
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = look(path)
    assert read[2:] == BOTH
    assert second.embeddings != first.embeddings
    assert second.stored_graph == first.stored_graph


def test_of_a_zarr_only_the_elements_that_are_used_count(
    later: None, look: Look, read: list[str], tmp_path: Path
) -> None:
    import zarr

    path = save(table(), tmp_path, "zarr3")
    look(path)
    zarr.open_group(path, mode="r+")["obs"].create_array("new", data=np.arange(len(CELLS)))
    look(path)
    assert read == BOTH
    other = tmp_path / "elsewhere.zarr"  # the same cells under another name are read, and known
    shutil.copytree(path, other)
    assert look(str(other)).embeddings == look(path).embeddings
    assert read == BOTH * 2


def test_what_the_cache_has_lost_is_read_again(later: None, look: Look, read: list[str], tmp_path: Path) -> None:
    path = save(table(), tmp_path, "h5ad")
    first = look(path)
    (ref,) = first.embeddings.values()
    assert ref is not None
    folder = tmp_path / "cache/v1/arrays" / ref.digest[:2] / ref.digest / "c"
    for damage in (Path.unlink, lambda chunk: chunk.write_bytes(b"0" * 100)):
        (chunk,) = (file for file in folder.rglob("*") if file.is_file())
        damage(chunk)
        read.clear()
        assert look(path) == first
        assert read == ["X_pca"]


def test_in_a_bucket_its_marks_decide(look: Look, read: list[str], tmp_path: Path) -> None:
    path = save(table(), tmp_path, "h5ad")
    fs = fsspec.filesystem("memory")
    with open(path, "rb") as file:
        fs.pipe_file("/remembered/in.h5ad", file.read())
    url = "memory://remembered/in.h5ad"
    look(url)
    look(url)
    assert read == BOTH
    adata = table()
    adata.obsm["X_pca"] = CELLS * np.float32(2)
    with open(save(adata, tmp_path, "h5ad", "two"), "rb") as file:
        fs.pipe_file("/remembered/in.h5ad", file.read())
    look(url)
    assert read == BOTH * 2


def test_a_problem_is_never_remembered(later: None, read: list[str], tmp_path: Path) -> None:
    adata = table()
    adata.obsm["X_pca"] = CELLS * np.nan
    path = save(adata, tmp_path, "h5ad")
    config = ClusteringConfig(algorithm="leiden", resolutions=1, hierarchy=2)
    for _ in range(2):
        found, problems = inspect_input(
            "d", "f", Place(path), config, str(tmp_path / "out"), cache_at(tmp_path / "cache")
        )
        assert found is None
        assert "NaN" in problems[0]
    assert read == BOTH * 2


def test_x_is_read_once_for_a_pca(later: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.tasks.inputs import pca

    rng = np.random.default_rng(0)
    path = save(ad.AnnData(rng.poisson(2, (50, 9)).astype(np.float32)), tmp_path, "h5ad")
    cache, reads, real = cache_at(tmp_path / "cache"), [], elements.read_x

    def reading(root: Any) -> Any:
        reads.append(1)
        return real(root)

    monkeypatch.setattr(elements, "read_x", reading)
    monkeypatch.setattr(pca, "_pca", lambda matrix, components: np.ones((50, components), np.float32))
    first = pca.compute_pca(opened(path), cache, None)
    assert pca.find_pca(opened(path), cache, None) == pca.compute_pca(opened(path), cache, None) == first
    assert len(reads) == 1
    assert pca.compute_pca(opened(path), cache, None, rehash=True) == first
    assert len(reads) == 2
