"""No garbage is collected while h5py waits for a thread that fetches from a bucket: it would wait for ever."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import fsspec
import h5py
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.stores.garbage_pause import MANY, collect_again, uncollected
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """An h5ad file in fsspec's memory."""
    anndata.AnnData(obsm={"X_pca": np.zeros((40, 3), np.float32)}).write_h5ad(tmp_path / "a.h5ad")
    Store.at("memory://bucket/a.h5ad").write("", (tmp_path / "a.h5ad").read_bytes())
    yield "memory://bucket/a.h5ad"
    fsspec.filesystem("memory").rm("bucket", recursive=True)


def test_a_fetch_that_leaves_garbage_of_h5py_ends(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        objects = [other.create_group(f"{number}").id for number in range(200)]
        cat_file = MemoryFileSystem.cat_file
        fetched = 0

        def in_another_thread(self: Any, *args: Any, **kwargs: Any) -> bytes:
            nonlocal fetched
            found: list[bytes] = []

            def fetch() -> None:
                cycle: list[Any] = [objects.pop()]
                cycle.append(cycle)
                del cycle
                _ = [[] for _ in range(5_000)]  # enough for Python to collect, if it may
                found.append(cat_file(self, *args, **kwargs))

            thread = threading.Thread(target=fetch, daemon=True)
            thread.start()
            thread.join(20)
            assert found, "the thread that fetches waits for h5py, which waits for it"
            fetched += 1
            return found[0]

        monkeypatch.setattr(MemoryFileSystem, "cat_file", in_another_thread)
        with open_anndata(Place(bucket)) as root:
            assert root["obsm/X_pca"][()].shape == (40, 3)
    assert fetched
    assert gc.isenabled()


def test_such_times_overlap_and_end() -> None:
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
        collect_again()
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.parametrize("again", [True, False])
def test_what_was_off_before_stays_off_unless_enabled_meanwhile(again: bool) -> None:
    gc.disable()
    with uncollected():
        if again:
            collect_again()
        assert not gc.isenabled()
    assert gc.isenabled() is again
    collect_again()
    assert gc.isenabled()


def test_what_has_come_together_is_collected_as_another_begins() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    with uncollected():
        last = weakref.ref([Ring() for _ in range(MANY + 1)][-1])
        assert last() is not None
        with uncollected():
            assert last() is None
            last = weakref.ref(Ring())
        with uncollected():
            assert last() is not None, "for one there is no need"


def test_a_failure_ends_it(bucket: str) -> None:
    fsspec.filesystem("memory").pipe_file("/bucket/broken.h5ad", b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(ValueError, match=r"broken\.h5ad"), open_anndata(Place("memory://bucket/broken.h5ad")):
        pass
    assert gc.isenabled()
