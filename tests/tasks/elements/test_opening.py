"""An input that was looked at once: entered again without asking, seen when it changes, and nothing is left open."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from cellstrata.tasks.elements import kinds
from cellstrata.tasks.elements.opening import InputError, Opened
from cellstrata.tasks.elements.reading import n_obs, read_obsm
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.everything import N, saved
from tests.tasks.places import opened

FORMS = ["h5ad", "zarr2", "zarr3"]


def in_memory(local: str, name: str) -> str:
    """Copy a file or zarr to a bucket that lies in memory."""
    source, url = Store.at(local), f"memory://{name}/{Path(local).name}"
    for key in [""] if source.is_file() else list(source.walk()):
        Store.at(url).write(key, source.read(key))
    return url


def handles(name: str) -> list[str]:
    """The files of this process that are open and called so."""
    links = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{number}")]  # fmt: skip
    return [link for link in links if name in link]


@pytest.mark.parametrize("remote", [False, True], ids=["local", "bucket"])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_entered_again_without_a_look(
    form: str, remote: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = saved(tmp_path, form)
    source = opened(in_memory(local, tmp_path.name) if remote else local)
    monkeypatch.setattr(kinds, "look", None)  # whoever asks again fails
    for again in (source, pickle.loads(pickle.dumps(source))):
        seen = []
        for _ in range(2):
            with again.root() as root:
                assert n_obs(root) == N
                seen.append(read_obsm(root, "X_pca"))
                assert gc.isenabled() is not (remote and form == "h5ad")
            assert gc.isenabled()
            again.check_unchanged()
        assert np.array_equal(*seen)
        again.close()
        with again.root() as root:
            assert n_obs(root) == N
        again.close()
        assert not (form == "h5ad" and root)  # closed


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are told in /proc alone: run it on Linux")
@pytest.mark.parametrize("form", FORMS)
def test_no_handle_of_a_local_file_is_held(form: str, tmp_path: Path) -> None:
    source = opened(saved(tmp_path, form))
    with source.root() as root:
        assert n_obs(root) == N
    assert handles(tmp_path.name) == []


def test_what_nobody_closes_is_closed_when_it_is_forgotten(tmp_path: Path) -> None:
    source = opened(in_memory(saved(tmp_path, "h5ad"), tmp_path.name))
    with source.root() as root:
        pass
    assert root  # still open
    del source
    gc.collect()
    assert not root


@pytest.mark.parametrize("remote", [False, True], ids=["local", "bucket"])
@pytest.mark.parametrize("form", ["h5ad", "zarr2"])
def test_a_change_between_inspection_and_publishing_is_noticed(form: str, remote: bool, tmp_path: Path) -> None:
    local = saved(tmp_path, form)
    url = in_memory(local, tmp_path.name) if remote else local
    source, out = opened(url), Place(str(tmp_path / "out.zarr"))
    with source.root() as root:
        assert n_obs(root) == N
    key, store = ("" if form == "h5ad" else ".zmetadata" if remote else ".zgroup"), Store.at(url)
    if form != "h5ad" and not remote:
        key = next(mark for mark in (".zmetadata", ".zgroup") if store.is_file(mark))
    before = store.read(key)
    store.write(key, before + b" ")
    if remote and form != "h5ad":
        store.remove(key)  # a bucket in memory tells no tags
    with pytest.raises(InputError, match="has changed or gone"):
        publish(source, out)
    store.remove()
    with pytest.raises(InputError, match="has changed or gone"):
        publish(source, out)
    assert not out.store.exists()


def test_nothing_can_be_opened_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        Opened.at(Place(str(tmp_path / "absent.h5ad")))
    with pytest.raises(InputError, match="there is no such file"):
        Opened.at(Place("memory://absent/x.zarr"))
