from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.tasks.elements import conversion as convert
from cellstrata.tasks.elements.conversion import blocks, chunk_shape, copy_element
from cellstrata.tasks.elements.reading import open_anndata
from cellstrata.tasks.elements.storage_nodes import strings
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.stores.places import Place
from tests.no_warnings import no_warnings
from tests.tasks.everything import assert_kept, load, save, saved
from tests.tasks.places import opened

ADDED = {"uns": ["clustering"]}


@pytest.mark.parametrize("x", ["csr", "csc", "dense", "none"])
def test_an_h5ad_becomes_an_equal_zarr(tmp_path: Path, x: str) -> None:
    if x == "csr":
        source = saved(tmp_path, "h5ad")
    else:  # of the rest nothing is another
        counts = sp.random(9, 4, 0.5, format="csc", dtype=np.float32, random_state=0)
        matrix = {"csc": counts, "dense": counts.toarray().astype(np.float16), "none": None}[x]
        source = save(ad.AnnData(matrix, shape=None if x != "none" else (9, 4)), tmp_path, "h5ad")
    report = publish(opened(source), Place(str(tmp_path / "out.zarr")))
    assert report.mode == "converted"
    assert_kept(load(source), load(str(tmp_path / "out.zarr")), ADDED)


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_elements_keep_dtype_and_attributes(tmp_path: Path, form: str) -> None:
    source = saved(tmp_path, form)
    target = zarr.open_group(StagedStore(tmp_path / "copy.zarr"), mode="w", zarr_format=2)
    with open_anndata(Place(source)) as root:
        for slot in ("X", "obs", "obsm", "uns"):
            copy_element(root[slot], target, slot)
        for path in (
            "obsm/big",
            "obsm/half",
            "uns/big",
            "uns/number",
            "obs/code/codes",
            "X/data",
        ):
            old, new = root[path], target[path]
            assert isinstance(new, zarr.Array)
            assert new.dtype == old.dtype, path
            assert np.array_equal(np.asarray(new[()]), np.asarray(old[()])), path
        assert target["obs"].attrs["column-order"] == list(root["obs"].attrs["column-order"])
        assert target["obs/ordered"].attrs["ordered"] is True


@pytest.mark.parametrize("chunks", [None, (50, 7), (800, 1), (1, 100)])
def test_nothing_large_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int] | None
) -> None:
    x = np.random.default_rng(0).normal(size=(800, 100)).astype(np.float32)
    source = save(ad.AnnData(x, layers={"s": sp.csr_matrix(x * (x > 1))}), tmp_path, "h5ad")
    with h5py.File(source, "r+") as file:
        attrs = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=x, chunks=chunks).attrs.update(attrs)
    largest = 0
    get = h5py.Dataset.__getitem__

    def watched(self: Any, key: Any) -> Any:
        nonlocal largest
        value = get(self, key)
        largest = max(largest, getattr(value, "nbytes", 0))
        return value

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    monkeypatch.setattr(convert, "CHUNK_BYTES", 1 << 14)
    publish(opened(source), Place(str(tmp_path / "out.zarr")))
    assert 0 < largest <= 1 << 15  # X has 320,000 bytes
    monkeypatch.undo()
    assert_kept(load(source), load(str(tmp_path / "out.zarr")), ADDED)


def test_chunks_are_made_of_whole_stored_chunks() -> None:
    assert chunk_shape((10**6, 50), 4, (1, 1)) == (20971, 50)
    rows, columns = chunk_shape((157868, 29), 4, (4934, 2))
    assert (rows % 4934, columns) == (0, 29)
    assert chunk_shape((10**6, 3000), 8, (10**6, 1)) == (10**6, 1)
    assert chunk_shape((10**8,), 4, (10**8,)) == (1 << 20,)
    assert chunk_shape((0, 3), 4, (1, 1)) == (1, 3)
    assert chunk_shape((), 4, ()) == ()


@pytest.mark.parametrize(("shape", "stored"), [((10, 7), (4, 3)), ((10, 7), (10, 1)), ((5,), (5,)), ((0, 3), (1, 1))])
def test_blocks_cover_every_value_once(shape: tuple[int, ...], stored: tuple[int, ...]) -> None:
    seen = np.zeros(shape, dtype=int)
    for block in blocks(shape, tuple(max(1, min(2, n)) for n in shape), stored):
        seen[block] += 1
    assert (seen == 1).all()


def test_the_bundled_set_of_scanpy(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("scanpy")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scanpy is not installed: pip install scanpy")
    source = Path(spec.submodule_search_locations[0]) / "datasets" / "10x_pbmc68k_reduced.h5ad"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = load(str(source))
    report = publish(opened(str(source)), Place(str(tmp_path / "out.zarr")), obs={"new": pd.Categorical(["0"] * 700)})
    assert report.mode == "converted"
    assert_kept(old, load(str(tmp_path / "out.zarr")), {**ADDED, "obs": ["new"]})


def test_codes_beside_their_categories(tmp_path: Path) -> None:
    """The dataframes of anndata 0.7."""
    source = saved(tmp_path, "h5ad")
    with h5py.File(source, "r+") as file:
        for slot in ("obs", "var"):
            frame = file[slot]
            frame.attrs["encoding-version"] = "0.1.0"
            for name in [*frame.attrs["column-order"], frame.attrs["_index"]]:
                node = frame[name]
                kind = node.attrs["encoding-type"]
                if kind == "categorical":
                    codes, words = node["codes"][()], strings(node["categories"])
                    words = words.astype(int) if name == "numbers" else words
                    ordered = node.attrs["ordered"]
                    del frame[name]
                    frame[name] = codes
                    frame[f"__categories/{name}"] = list(words)
                    frame[f"__categories/{name}"].attrs["ordered"] = ordered
                    frame[name].attrs["categories"] = frame[f"__categories/{name}"].ref
                elif kind.startswith("nullable"):
                    frame.attrs["column-order"] = [c for c in frame.attrs["column-order"] if c != name]
                    values = node["values"][()]
                    del frame[name]
                    if name == frame.attrs["_index"]:
                        frame[name] = values
                else:
                    for key in list(node.attrs):
                        del node.attrs[key]
        for key in list(file.attrs):
            del file.attrs[key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = load(source)
    assert isinstance(old.obs["code"].dtype, pd.CategoricalDtype)
    with no_warnings(DeprecationWarning):
        publish(opened(source), Place(str(tmp_path / "out.zarr")), obs={"new": pd.Categorical(["0"] * 60)})
    assert_kept(old, load(str(tmp_path / "out.zarr")), {**ADDED, "obs": ["new"]})


def test_tables_of_records(tmp_path: Path) -> None:
    """The files of anndata 0.6."""
    n, source = 20, str(tmp_path / "in.h5ad")
    x = sp.random(n, 3, 0.5, format="csr", dtype=np.float32, random_state=0)
    obs = np.zeros(n, dtype=[("index", "S5"), ("cluster", "i1"), ("depth", "f8")])
    obs["index"] = [f"c{i}".encode() for i in range(n)]
    obs["cluster"] = np.arange(n) % 2
    var = np.array([(b"a", 1), (b"b", 2), (b"c", 3)], dtype=[("index", "S1"), ("rank", "i4")])
    obsm = np.zeros(n, dtype=[("X_pca", "f4", (4,))])
    obsm["X_pca"] = np.random.default_rng(0).normal(size=(n, 4))
    with h5py.File(source, "w") as file:
        for name in ("X", "raw.X"):
            group = file.create_group(name)
            group.attrs.update({"h5sparse_format": b"csr", "h5sparse_shape": np.array(x.shape)})
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(x, part)
        file["obs"], file["var"], file["raw.var"], file["obsm"] = obs, var, var, obsm
        file["uns/cluster_categories"] = np.array([b"one", b"two"])
        file["uns/note/deep"] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = load(source)
    with open_anndata(Place(source)) as root:
        from cellstrata.tasks.elements import reading as elements

        assert elements.n_obs(root) == n
        assert elements.obs_names(root)[1] == "c1"
        assert elements.obs_columns(root) == ["cluster", "depth"]
        assert list(elements.read_obs_column(root, "cluster")[:2]) == ["one", "two"]
        assert elements.obsm_shapes(root) == {"X_pca": (n, 4)}
        assert np.array_equal(elements.read_obsm(root, "X_pca"), obsm["X_pca"])
    umap = np.zeros((n, 2), dtype=np.float32)
    new = pd.Categorical(["0"] * n)
    for number, obsm_entries in enumerate(({}, {"X_umap": umap})):
        out = str(tmp_path / f"out{number}.zarr")
        publish(opened(source), Place(out), obs={"new": new}, obsm=obsm_entries)
        assert_kept(old, load(out), {**ADDED, "obs": ["new"], "obsm": list(obsm_entries)})


def test_text_of_a_table_is_stored_for_older_readers(tmp_path: Path) -> None:
    text, holed = pd.array(["x", "y"], dtype="string"), pd.array(["x", None], dtype="string")
    table = pd.DataFrame(
        {
            "text": text,
            "holed": holed,
            "kind": pd.Categorical.from_codes([1, -1], categories=pd.Index(text), ordered=True),
            "count": np.array([1, 2], dtype=np.int32),
        },
        index=pd.Index(["a", "b"], dtype="string"),
    )
    source = saved(tmp_path, "h5ad")
    with ad.settings.override(allow_write_nullable_strings=True):
        publish(opened(source), Place(str(tmp_path / "out.zarr")), uns={"clustering": {"tree": table}})
    tree: Any = zarr.open_group(tmp_path / "out.zarr", mode="r")["uns/clustering/tree"]
    kinds = {name: tree[name].attrs["encoding-type"] for name in [*table.columns, "_index"]}
    assert kinds == {
        "text": "string-array",
        "holed": "nullable-string-array",
        "kind": "categorical",
        "count": "array",
        "_index": "string-array",
    }
    assert tree["kind/categories"].attrs["encoding-type"] == "string-array"
    assert tree["kind"].attrs["ordered"]
    found = ad.io.read_elem(tree)
    assert list(found["text"]) == list(found["kind"].cat.categories) == ["x", "y"]
    assert list(found["kind"].cat.codes) == [1, -1]
    assert list(table.dtypes.astype(str))[:2] == ["string", "string"]  # the caller's own is not changed
