"""Consolidated metadata that are older than the store, in a bucket: what a run reads has metadata of its own."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import write_elem

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.elements.own_metadata import older_than, take_own
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.small import CELLS, cache_at

N = len(CELLS)
RING: Any = sp.csr_matrix(sp.eye(N, k=1) + sp.eye(N, k=-1), dtype=np.float32)


@pytest.fixture(params=[2, 3])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A consolidated zarr with an embedding and a graph, whose names are as many as its cells."""
    obs = pd.DataFrame({"batch": pd.Categorical(["a", "b"] * (N // 2))}, index=[f"c{i}" for i in range(N)])
    adata = ad.AnnData(np.zeros((N, 2), np.float32), obs=obs, obsm={"X_scvi": CELLS}, obsp={"connectivities": RING})
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 7}}
    path = tmp_path / "in.zarr"
    with warnings.catch_warnings(), ad.settings.override(zarr_write_format=request.param):
        warnings.simplefilter("ignore")
        adata.write_zarr(path)
    zarr.consolidate_metadata(path)
    return path


def changed(folder: Path) -> Any:
    """The root, for changes of which the consolidated metadata learn nothing."""
    return zarr.open_group(folder, mode="r+", use_consolidated=False)


def put_in(root: Any, path: str, value: Any) -> None:
    """Write an element; anndata from 0.13 on takes no path."""
    slot, _, name = path.rpartition("/")
    write_elem(root[slot] if slot else root, name, value)


def restore(folder: Path, before: bytes) -> None:
    name = "zarr.json" if (folder / "zarr.json").exists() else ".zmetadata"
    (folder / name).write_bytes(before)


def consolidated(folder: Path) -> bytes:
    name = "zarr.json" if (folder / "zarr.json").exists() else ".zmetadata"
    return (folder / name).read_bytes()


def put(folder: Path, url: str) -> Place:
    store = Store.at(url)
    for file in folder.rglob("*"):
        if file.is_file():
            store.write(file.relative_to(folder).as_posix(), file.read_bytes())
    return Place(url)


def look(place: Place, tmp_path: Path, **settings: Any) -> tuple[Input | None, list[str]]:
    config = ClusteringConfig(algorithm="leiden", resolutions=[0.5], **settings)
    return inspect_input("d", "f", place, config, str(tmp_path / "out"), cache_at(tmp_path / "cache"))


def notices(found: Input | None) -> list[str]:
    assert found is not None
    return [notice for notice in found.notices if "consolidated" in notice]


def test_what_is_current_gives_no_notice(folder: Path, s3: str, tmp_path: Path) -> None:
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, hierarchy=2, neighbors={"use_rep": "X_scvi"})
    assert problems == []
    assert notices(found) == []


def test_an_embedding_and_a_graph_that_were_added(folder: Path, s3: str, tmp_path: Path) -> None:
    before, root = consolidated(folder), changed(folder)
    put_in(root, "obsm/X_new", CELLS[:, :2].copy())
    put_in(root, "obsp/late_connectivities", RING * 0.5)
    put_in(root, "uns/late", {"connectivities_key": "late_connectivities", "params": {"n_neighbors": 9}})
    restore(folder, before)
    settings: dict[str, Any] = {"hierarchy": 2, "neighbors_key": "late", "neighbors": {"use_rep": "X_new"}}
    here, problems = look(Place(str(folder)), tmp_path / "local", **settings)
    assert problems == []
    assert notices(here) == []
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, **settings)
    assert problems == []
    assert found is not None
    assert here is not None
    assert found.embeddings == here.embeddings
    assert found.stored_graph == here.stored_graph
    assert found.neighbors.n_neighbors == 9
    assert notices(found) == [
        "the consolidated metadata are older than uns/late, obsp/late_connectivities, obsm/X_new, whose own were "
        "taken: make them anew with `zarr.consolidate_metadata`"
    ]


def test_a_slot_that_was_added(folder: Path, s3: str, tmp_path: Path) -> None:
    shutil.rmtree(folder / "obsm")
    zarr.consolidate_metadata(folder)
    before, root = consolidated(folder), changed(folder)
    put_in(root, "obsm", {"X_scvi": CELLS})
    restore(folder, before)
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, hierarchy=2, neighbors={"use_rep": "X_scvi"})
    assert problems == []
    assert found is not None
    assert list(found.embeddings.values()) != [None]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("obsm/X_scvi", (CELLS * 100).astype(np.int32)),  # of the same size, so the bytes decode either way
        ("obsm/X_scvi", CELLS[: N // 2].astype(np.float64)),
        ("obsm/X_scvi", sp.csr_matrix(CELLS)),
        ("obsm/X_scvi", pd.DataFrame(CELLS[:, :2].copy(), columns=["a", "b"], index=[f"c{i}" for i in range(N)])),
    ],
)  # fmt: skip
def test_an_embedding_that_was_replaced_is_read_as_it_is(folder: Path, value: Any, path: str, s3: str) -> None:
    before, root = consolidated(folder), changed(folder)
    del root[path]
    put_in(root, path, value)
    restore(folder, before)
    right = value.toarray() if sp.issparse(value) else np.asarray(value)
    opened = Opened.at(put(folder, f"{s3}/in.zarr"))
    with opened.root() as bucket:
        np.testing.assert_array_equal(elements.read_obsm(bucket, "X_scvi"), right.astype(np.float32))
        assert older_than(bucket) == [path]


def test_a_graph_of_another_type_and_a_column_that_was_replaced(folder: Path, s3: str) -> None:
    before, root = consolidated(folder), changed(folder)
    del root["obsp/connectivities"], root["obs/batch"]
    put_in(root, "obsp/connectivities", (RING * 3).astype(np.int32))
    put_in(root, "obs/batch", np.arange(N))
    restore(folder, before)
    opened = Opened.at(put(folder, f"{s3}/in.zarr"))
    with opened.root() as bucket:
        assert elements.read_obsp(bucket, "connectivities").data.tolist() == [3.0] * RING.nnz
        take_own(bucket, "obs/batch", "obs", "uns/neighbors")
        assert elements.read_obs_column(bucket, "batch").tolist() == list(range(N))
        assert older_than(bucket) == ["obsp/connectivities", "obs/batch"]


def test_what_was_taken_away_is_not_there(folder: Path, s3: str, tmp_path: Path) -> None:
    before = consolidated(folder)
    shutil.rmtree(folder / "obsm" / "X_scvi")
    restore(folder, before)
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, hierarchy=2, neighbors={"use_rep": "X_scvi"})
    assert found is None
    assert problems[0].startswith("d/f: ")
    assert "obsm['X_scvi']: there is no such embedding; it has none" in problems[0]
