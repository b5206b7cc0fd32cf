"""Datasets compressed by filters that h5py lacks: read where hdf5plugin knows them, else refused first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements.opening import InputError, open_anndata
from cellstrata.tasks.elements.reading import read_obsm, read_obsp, read_x
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.stores.places import Place
from tests.tasks.small import CELLS, cache_at, graph_of

UNKNOWN = 40_000  # a number in the range that HDF5 keeps for tests


def written(path: Path, compressed: dict[str, dict[str, Any]]) -> Path:
    """Write a small h5ad, some of its datasets compressed in other ways."""
    n = len(CELLS)
    adata = ad.AnnData(
        sp.random(n, 6, 0.5, "csr", np.float32, random_state=0), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)])
    )
    adata.layers["counts"] = np.ones((n, 6), np.float32)
    adata.obsm["X_pca"], adata.obsp["connectivities"] = CELLS, graph_of(CELLS).to_csr()
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"use_rep": "X_pca"}}
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name, how in compressed.items():
            values, attrs = file[name][()], dict(file[name].attrs)
            del file[name]
            if how.get("compression") == UNKNOWN:
                node = file.create_dataset(name, values.shape, values.dtype, chunks=values.shape, **how)
                node.id.write_direct_chunk((0,) * values.ndim, bytes(64))
            else:
                node = file.create_dataset(name, data=values, chunks=values.shape, **how)
            node.attrs.update(attrs)
    return path


def inspected(path: Path, tmp_path: Path, **settings: Any) -> list[str]:
    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
    return inspect_input("d", "f", Place(str(path)), config, str(tmp_path / "out"), cache_at(tmp_path / "cache"))[1]


@pytest.mark.parametrize("name", ["Blosc", "Zstd", "Bitshuffle", "LZ4"])
def test_what_hdf5plugin_knows_is_read(name: str, tmp_path: Path) -> None:
    import hdf5plugin

    how = dict(getattr(hdf5plugin, name)())
    path = written(tmp_path / "a.h5ad", {"obsm/X_pca": how, "X/data": how, "obsp/connectivities/data": how})
    read = f"""
import sys
import numpy as np
from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.elements.reading import read_obsm, read_obsp, read_x
from cellstrata.tasks.stores.places import Place
assert "hdf5plugin" not in sys.modules
with open_anndata(Place({str(path)!r})) as root:
    graph = read_obsp(root, "connectivities").toarray()
    np.savez({str(tmp_path / "read.npz")!r}, pca=read_obsm(root, "X_pca"), x=read_x(root).toarray(), graph=graph)
"""  # by itself: this process knows the filters already
    subprocess.run([sys.executable, "-c", read], check=True, timeout=120)
    plain = ad.read_h5ad(written(tmp_path / "b.h5ad", {}))
    with np.load(tmp_path / "read.npz") as found:
        np.testing.assert_array_equal(found["pca"], CELLS)
        np.testing.assert_array_equal(found["x"], plain.X.toarray())
        np.testing.assert_array_equal(found["graph"], plain.obsp["connectivities"].toarray())
    assert inspected(path, tmp_path) == []


@pytest.mark.parametrize(
    ("dataset", "element"),
    [
        ("X/data", "X"),
        ("layers/counts", "layers['counts']"),
        ("obsm/X_pca", "obsm['X_pca']"),
        ("obsp/connectivities/indices", "obsp['connectivities']"),
        ("obs/_index", "obs['_index']"),
    ],
)
def test_what_is_unknown_is_refused_first(dataset: str, element: str, tmp_path: Path) -> None:
    how = {"compression": UNKNOWN, "allow_unknown_filter": True}
    if dataset == "obs/_index":  # of variable length it cannot be written so here
        path = written(tmp_path / "a.h5ad", {})
        with h5py.File(path, "r+") as file:
            attrs = dict(file[dataset].attrs)
            del file[dataset]
            node = file["obs"].create_dataset("_index", (len(CELLS),), "S4", chunks=(len(CELLS),), **how)
            node.id.write_direct_chunk((0,), bytes(64))
            node.attrs.update(attrs)
    else:
        path = written(tmp_path / "a.h5ad", {dataset: how})
    (problem,) = inspected(path, tmp_path)
    assert problem.startswith(f"d/f: {path}: {element}: is compressed by the HDF5 filter {UNKNOWN}, ")
    assert "HDF5_PLUGIN_PATH" in problem
    assert "h5repack" in problem


def test_a_filter_with_a_name_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hdf5plugin

    path = written(tmp_path / "a.h5ad", {"X/data": dict(hdf5plugin.Blosc())})
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32001)
    (problem,) = inspected(path, tmp_path)
    assert "X: is compressed by the HDF5 filter 32001 (blosc)" in problem
    assert "`pip install --upgrade hdf5plugin`" in problem


def test_what_the_run_makes_anew_may_be_compressed_as_it_likes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5ad", {})
    with h5py.File(path, "r+") as file:
        node = file["obsm"].create_dataset(
            "X_umap", (len(CELLS), 2), "f4", chunks=(len(CELLS), 2), compression=UNKNOWN, allow_unknown_filter=True
        )
        node.id.write_direct_chunk((0, 0), bytes(64))
        node.attrs.update(file["obsm/X_pca"].attrs)
    assert inspected(path, tmp_path, recompute_umap=True) == []
    assert len(inspected(path, tmp_path)) == 1


def test_readers_refuse_by_themselves(tmp_path: Path) -> None:
    how = {"compression": UNKNOWN, "allow_unknown_filter": True}
    path = written(tmp_path / "a.h5ad", {"obsm/X_pca": how, "X/indptr": how, "obsp/connectivities/data": how})
    with open_anndata(Place(str(path))) as root:
        for read in (lambda: read_x(root), lambda: read_obsm(root, "X_pca"), lambda: read_obsp(root, "connectivities")):
            with pytest.raises(InputError, match=f"HDF5 filter {UNKNOWN}"):
                read()
