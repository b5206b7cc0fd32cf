"""An AnnData that holds every kind of element, and a comparison of two to the dtype."""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from cellstrata.tasks.publishing.staging import StagedStore

FORMATS = ("h5ad", "zarr2", "zarr3")
N, G = 60, 11


def everything(x: str = "csr") -> ad.AnnData:
    """Return an AnnData of 60 cells with integer names, two of them equal."""
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(N)]
    names[7] = names[6]
    counts = sp.random(N, G, 0.3, format="csr", dtype=np.float32, random_state=0)
    obs = pd.DataFrame(
        {
            "code": pd.Categorical(["001", "01"] * (N // 2), categories=["1", "001", "01", "unused"]),
            "ordered": pd.Categorical(["lo", None, "hi"] * (N // 3), categories=["lo", "hi"], ordered=True),
            "numbers": pd.Categorical([3, 1, 2] * (N // 3)),
            "text": [f"t{i:03d}" for i in range(N)],
            "gaps": pd.array([None, *(f"g{i}" for i in range(N - 1))], dtype="string"),
            "int8": rng.integers(-9, 9, N).astype(np.int8),
            "half": rng.normal(size=N).astype(np.float16),
            "double": np.where(np.arange(N) % 5 == 0, np.nan, rng.normal(size=N)),
            "flag": np.arange(N) % 3 == 0,
            "maybe_int": pd.array([None, *range(N - 1)], dtype="Int32"),
            "maybe_bool": pd.array([None, *([True, False, True] * N)[: N - 1]], dtype="boolean"),
        },
        index=pd.Index(names),
    )
    var = pd.DataFrame({"kind": pd.Categorical(["a"] * G)}, index=pd.Index([f"g{i}" for i in range(G)]))
    matrix: Any = {"csr": counts, "csc": counts.tocsc(), "dense": counts.toarray(), "none": None}[x]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ad.AnnData(X=counts, obs=obs.iloc[:, :0], var=var)
        adata = ad.AnnData(X=matrix, obs=obs, var=var, shape=None if matrix is not None else (N, G))
        adata.raw = whole
    adata.layers["dense"] = rng.normal(size=(N, G))
    adata.layers["ints"] = rng.integers(0, 9, (N, G)).astype(np.int16)
    adata.layers["csc"] = counts.tocsc()
    adata.obsm["X_pca"] = rng.normal(size=(N, 5)).astype(np.float32)
    adata.obsm["half"] = rng.normal(size=(N, 2)).astype(np.float16)
    adata.obsm["big"] = rng.normal(size=(N, 3)).astype(">f8")
    adata.obsm["counts"] = rng.integers(0, 99, (N, 2))
    adata.obsm["sparse"] = sp.csr_matrix(rng.integers(0, 2, (N, 4)).astype(np.float64))
    adata.obsm["frame"] = pd.DataFrame({"a": np.arange(N), "b": np.linspace(0, 1, N)}, index=adata.obs_names)
    adata.varm["PCs"] = rng.normal(size=(G, 5))
    graph = sp.random(N, N, 0.1, format="csr", random_state=1)
    adata.obsp["connectivities"] = (graph + graph.T).tocsr()
    adata.obsp["distances"] = graph.tocsc()
    adata.varp["corr"] = np.eye(G)
    ranked = np.array([("a", "bb"), ("ccc", "d")], dtype=[("0", "O"), ("1", "O")])
    adata.uns.update(
        neighbors={"connectivities_key": "connectivities", "params": {"n_neighbors": 15, "metric": "cosine"}},
        text="höhe",
        empty="",
        number=3,
        real=0.25,
        flag=True,
        nothing=None,
        words=np.array(["x", "yy", ""], dtype=object),
        half=np.arange(4, dtype=np.float16),
        flags=np.array([True, False]),
        big=np.arange(3, dtype=">i4"),
        none_in_it=np.empty((0, 3), dtype=np.float32),
        complex=np.arange(3) * 1j,
        rank_genes_groups={"names": ranked, "scores": ranked_scores()},
        table=pd.DataFrame({"s": ["p", "q"], "v": [1.5, np.nan]}, index=pd.Index(["r1", "r2"], name="rows")),
        sparse=sp.csr_matrix(np.eye(3)),
        empty_dict={},
    )
    return adata


def ranked_scores() -> np.ndarray:
    """Return a record array of numbers."""
    return np.array([(1.0, 2), (3.0, 4)], dtype=[("0", "<f4"), ("1", "<i8")])


def save(adata: ad.AnnData, folder: Path, form: str, name: str = "in") -> str:
    """Write as h5ad, or zarr of format 2 or 3; return the path."""
    path = folder / f"{name}.{'h5ad' if form == 'h5ad' else 'zarr'}"
    with warnings.catch_warnings(), ad.settings.override(allow_write_nullable_strings=True):
        warnings.simplefilter("ignore")
        if form == "h5ad":
            adata.write_h5ad(path)
        else:
            with ad.settings.override(zarr_write_format=int(form[-1])):
                adata.write_zarr(StagedStore(path))
    return str(path)


@functools.cache
def _master(form: str, x: str) -> str:
    folder = tempfile.TemporaryDirectory(prefix="everything-")
    atexit.register(folder.cleanup)
    return save(everything(x), Path(folder.name), form)


def saved(folder: Path, form: str, x: str = "csr") -> str:
    """Return the path of a fresh copy of `everything`, written once for all tests."""
    master = Path(_master(form, x))
    path = folder / master.name
    shutil.copy(master, path) if master.is_file() else shutil.copytree(master, path)
    return str(path)


def load(path: str) -> ad.AnnData:
    """Read with plain anndata."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not unique")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return ad.read_h5ad(path) if path.endswith("h5ad") else ad.read_zarr(path)


def assert_same(old: Any, new: Any, where: str = "") -> None:
    """Compare two elements to the dtype; how strings are held in memory does not count."""
    if isinstance(old, pd.DataFrame):
        assert list(old.columns) == list(new.columns), where
        assert old.index.name == new.index.name, where
        assert list(old.index) == list(new.index), where
        for name in old.columns:
            assert old[name].dtype == new[name].dtype, f"{where}[{name}]"
            pd.testing.assert_series_equal(old[name], new[name], check_index=False)
    elif isinstance(old, Mapping):
        assert set(old) == set(new), where
        for key in old:
            assert_same(old[key], new[key], f"{where}/{key}")
    elif sp.issparse(old):
        assert type(old) is type(new), where
        assert old.shape == new.shape, where
        for part in ("data", "indices", "indptr"):
            assert_same(getattr(old, part), getattr(new, part), f"{where}.{part}")
    elif isinstance(old, np.ndarray):
        kinds = {a.dtype.kind for a in (old, new)}
        if kinds & set("OTU"):
            assert old.astype(object).tolist() == new.astype(object).tolist(), where
            return
        if old.dtype.names:
            assert old.dtype.names == new.dtype.names, where
            assert_same({n: old[n] for n in old.dtype.names}, {n: new[n] for n in old.dtype.names}, where)
            return
        assert old.dtype == new.dtype, where
        np.testing.assert_array_equal(old, new, err_msg=where)
    else:
        old = old.item() if isinstance(old, np.generic) else old  # as anndata writes it today
        assert type(old) is type(new), where
        assert old == new, where


def assert_kept(old: ad.AnnData, new: ad.AnnData, added: Mapping[str, list[str]] | None = None) -> None:
    """Assert that everything in `old` is in `new`, which has besides it just what `added` names by slot."""
    added = added or {}
    assert list(new.obs.columns)[: old.obs.shape[1]] == list(old.obs.columns)
    assert list(new.obs.columns)[old.obs.shape[1] :] == added.get("obs", [])
    assert_same(old.obs, new.obs[list(old.obs.columns)], "obs")
    assert_same(old.var, new.var, "var")
    assert (old.X is None) == (new.X is None)
    if old.X is not None:
        assert_same(old.X, new.X, "X")
    assert (old.raw is None) == (new.raw is None)
    if old.raw is not None:
        for part in ("X", "var", "varm"):
            assert_same(mapping(getattr(old.raw, part)), mapping(getattr(new.raw, part)), f"raw.{part}")
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        before, after = mapping(getattr(old, slot)), mapping(getattr(new, slot))
        extra = set(after) - set(before)
        if slot == "uns":  # a column's colours come with it
            extra -= {f"{column}_colors" for column in added.get("obs", [])}
        assert extra == set(added.get(slot, [])), slot
        assert_same(before, {key: after[key] for key in before}, slot)


def mapping(value: Any) -> Any:
    """Return AnnData's own mappings as plain dicts, without X among the layers."""
    return {k: v for k, v in value.items() if k is not None} if isinstance(value, Mapping) else value


def tree_hash(path: str) -> str:
    """Return a digest of every name, link and byte below a path."""
    digest = hashlib.sha256()
    if os.path.isfile(path):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    for folder, folders, files in sorted(os.walk(path)):
        for name in sorted(folders + files):
            full = os.path.join(folder, name)
            digest.update(os.path.relpath(full, path).encode())
            if os.path.islink(full):
                digest.update(os.readlink(full).encode())
            elif os.path.isfile(full):
                digest.update(Path(full).read_bytes())
    return digest.hexdigest()
