from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import anndata as ad
import fsspec
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.kinds import reading
from cellstrata.tasks.elements.reading import InputError, Root, open_anndata
from cellstrata.tasks.stores.places import Place
from tests.no_warnings import no_warnings
from tests.tasks.everything import FORMATS, N, everything, load, save, saved

KINDS = (*FORMATS, "flat", "zip", "zip of a folder", "nested", "memory h5ad", "memory zarr2")


def place(folder: Path, kind: str) -> str:
    """Write `everything` in one of the forms in which it may be read; return its URL."""
    if kind in FORMATS:
        return saved(folder, kind)
    if kind == "flat":  # not consolidated
        path = saved(folder, "zarr2")
        (Path(path) / ".zmetadata").unlink()
        return path
    if kind == "zip":
        path = saved(folder, "zarr2")
        return shutil.make_archive(f"{path}.packed", "zip", path)
    if kind == "zip of a folder":  # as `zip -r x.zip x.zarr` makes it
        path = saved(folder, "zarr3")
        return shutil.make_archive(f"{path}.packed", "zip", Path(path).parent, Path(path).name)
    if kind == "nested":
        path = saved(folder, "zarr3")
        zarr.open_group(str(folder / "outer.zarr"), mode="w")
        shutil.move(path, folder / "outer.zarr" / "table")
        return str(folder / "outer.zarr" / "table")
    path = saved(folder, kind.split()[1])
    url = f"memory://{folder.name}/{Path(path).name}"
    fsspec.filesystem("memory").put(path, url.removeprefix("memory:/"), recursive=True)
    return url


@pytest.mark.parametrize("kind", KINDS)
def test_every_element_reads_as_anndata_has_it(tmp_path: Path, kind: str) -> None:
    adata = everything()
    with open_anndata(Place(place(tmp_path, kind))) as root:
        assert elements.n_obs(root) == N
        assert elements.obs_names(root).tolist() == list(adata.obs_names)
        assert elements.obs_names(root).dtype == object
        assert elements.var_names(root).tolist() == list(adata.var_names)
        assert elements.obs_columns(root) == list(adata.obs.columns)
        assert elements.obs_index_name(root) is None
        assert set(elements.obsm_shapes(root)) == set(adata.obsm)
        for key, shape in elements.obsm_shapes(root).items():
            assert shape == adata.obsm[key].shape
            table = elements.read_obsm(root, key)
            assert table.dtype == np.float32
            assert table.flags["C_CONTIGUOUS"]
            value = adata.obsm[key]
            dense = value.toarray() if sp.issparse(value) else np.asarray(value)
            assert np.array_equal(table, dense.astype(np.float32)), key
        for key in ("connectivities", "distances"):
            graph = elements.read_obsp(root, key)
            assert isinstance(graph, sp.csr_matrix)
            assert graph.dtype == np.float32
            assert (graph != sp.csr_matrix(adata.obsp[key], dtype=np.float32)).nnz == 0
        assert set(elements.obsp_keys(root)) == {"connectivities", "distances"}
        assert set(elements.uns_keys(root)) == set(adata.uns)
        assert elements.read_uns(root, "text") == "höhe"
        assert elements.read_uns(root, "neighbors/params")["n_neighbors"] == 15
        assert (elements.read_x(root) != adata.X).nnz == 0


@pytest.mark.parametrize("form", FORMATS)
def test_obs_columns_keep_their_dtype(tmp_path: Path, form: str) -> None:
    path = saved(tmp_path, form)
    obs = load(path).obs.reset_index(drop=True)
    with open_anndata(Place(path)) as root:
        for name in elements.obs_columns(root):
            column = elements.read_obs_column(root, name)
            assert column.name == name
            if name != "text":
                assert column.dtype == obs[name].dtype
            pd.testing.assert_series_equal(column.astype(obs[name].dtype), obs[name])


def test_shapes_that_are_not_tables_of_float32(tmp_path: Path) -> None:
    adata = ad.AnnData(np.zeros((4, 2), np.float32))
    adata.obsm["mixed"] = pd.DataFrame({"s": list("abcd")}, index=adata.obs_names)
    adata.obsm["gaps"] = pd.DataFrame({"i": pd.array([1, None, 3, 4], dtype="Int64")}, index=adata.obs_names)
    path = save(adata, tmp_path, "h5ad")
    with h5py.File(path, "r+") as file:
        file["obsm/line"] = np.arange(4)
        file["obsm/empty"] = np.empty((4, 0))
        file["obsm/words"] = np.array(list("abcd"), dtype=h5py.string_dtype())
        file["obsp/dense"] = np.eye(4)
        file["obsp/oblong"] = np.ones((4, 3))
    with open_anndata(Place(path)) as root:
        assert elements.read_obsm(root, "line").tolist() == [[0], [1], [2], [3]]
        assert elements.read_obsm(root, "empty").shape == (4, 0)
        assert np.isnan(elements.read_obsm(root, "gaps")[1, 0])
        assert (elements.read_obsp(root, "dense") != sp.eye(4)).nnz == 0
        for key in ("words", "mixed", "absent"):
            with pytest.raises(InputError, match=key):
                elements.read_obsm(root, key)
        for key in ("oblong", "absent"):
            with pytest.raises(InputError, match=key):
                elements.read_obsp(root, key)
        with pytest.raises(InputError, match="absent"):
            elements.read_uns(root, "absent")
        with pytest.raises(InputError, match="absent"):
            elements.read_obs_column(root, "absent")


def test_an_index_that_is_out_of_range_is_found(tmp_path: Path) -> None:
    path = saved(tmp_path, "h5ad")
    with h5py.File(path, "r+") as file:
        file["obsp/connectivities/indices"][0] = 10**6
    with open_anndata(Place(path)) as root, pytest.raises(InputError, match="damaged"):
        elements.read_obsp(root, "connectivities")


def test_graphs_of_old_files_stand_in_uns(tmp_path: Path) -> None:
    path = saved(tmp_path, "h5ad")
    with h5py.File(path, "r+") as file:
        file.move("obsp/connectivities", "uns/neighbors/connectivities")
        del file["obsp"]
    with open_anndata(Place(path)) as root:
        assert elements.obsp_keys(root) == ["connectivities"]
        assert elements.read_obsp(root, "connectivities").shape == (N, N)


def test_without_x_and_without_columns(tmp_path: Path) -> None:
    path = save(ad.AnnData(obs=pd.DataFrame(index=list("abc"))), tmp_path, "zarr2")
    with open_anndata(Place(path)) as root:
        assert elements.obs_columns(root) == []
        assert elements.obs_names(root).tolist() == ["a", "b", "c"]
        assert elements.var_names(root).tolist() == []
        with pytest.raises(InputError, match="X: is missing"):
            elements.read_x(root)


def fails(url: str) -> str:
    """Return what opening says."""
    with pytest.raises(InputError) as caught, open_anndata(Place(url)):
        pass
    caught.value.__cause__ = caught.value.__context__ = None  # once distributed is imported they are pickled too
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert url in str(caught.value)
    return caught.value.message


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, "h5ad")
    assert "no such file" in fails(str(tmp_path / "absent.h5ad"))
    assert "no such file" in fails("memory://absent/x.zarr")
    (tmp_path / "text.h5ad").write_text("cell,gene\n")
    assert "neither" in fails(str(tmp_path / "text.h5ad"))
    (tmp_path / "empty.h5ad").touch()
    assert "empty" in fails(str(tmp_path / "empty.h5ad"))
    (tmp_path / "cut.h5ad").write_bytes(Path(path).read_bytes()[:20000])
    assert "truncated" in fails(str(tmp_path / "cut.h5ad"))
    (tmp_path / "folder").mkdir()
    assert "no zarr group" in fails(str(tmp_path / "folder"))
    with h5py.File(tmp_path / "bare.h5ad", "w") as file:
        file["X"] = np.zeros((2, 2))
    assert "no AnnData" in fails(str(tmp_path / "bare.h5ad"))
    assert "`raw` part" in fails(saved(tmp_path, "zarr2") + "/raw")
    with zarr.open_group(str(tmp_path / "b.zarr"), mode="w").store:
        (tmp_path / "b.zarr" / "zarr.json").write_text("{")
    assert "damaged" in fails(str(tmp_path / "b.zarr"))


@pytest.mark.parametrize("form", FORMATS)
def test_a_root_cannot_be_written(tmp_path: Path, form: str) -> None:
    def write(root: Root) -> None:
        root.create_group("new")

    with open_anndata(Place(saved(tmp_path, form))) as root, pytest.raises((ValueError, OSError, TypeError)):
        write(root)


def test_dense_embeddings_are_read_without_anndata(tmp_path: Path) -> None:
    code = (
        "import sys; from cellstrata.tasks.elements import reading as e\n"
        "from cellstrata.tasks.elements.opening import open_anndata\n"
        "from cellstrata.tasks.stores.places import Place\n"
        "with open_anndata(Place(sys.argv[1])) as r: e.read_obsm(r, 'X_pca'); e.read_obsp(r, 'distances')\n"
        "assert not {'anndata', 'pandas', 'scanpy'} & set(sys.modules)"
    )
    for form in ("h5ad", "zarr2"):
        subprocess.run([sys.executable, "-c", code, saved(tmp_path, form)], check=True)


def test_no_warning_reaches_the_user(tmp_path: Path) -> None:
    path = saved(tmp_path, "zarr3")
    with no_warnings():
        before = list(warnings.filters)
        with open_anndata(Place(path)) as root:
            elements.read_uns(root, "rank_genes_groups")
        assert list(warnings.filters) == before


def test_zarrs_own_remedy_is_told_whole(tmp_path: Path) -> None:
    if "rectilinear_chunks" not in zarr.config.get("array"):
        pytest.skip("zarr < 3.2 knows no rectilinear chunks: make PYTHON=python3.13 VENV=.venv-3.13 test")
    path = saved(tmp_path, "zarr3")
    with zarr.config.set({"array.rectilinear_chunks": True}):
        group = zarr.open_group(f"{path}/obsm", mode="a", use_consolidated=False)
        table = group.create_array("uneven", shape=(N, 2), chunks=[[N - 1, 1], [2]], dtype="f4")
        table.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    message = "ZARR_ARRAY__RECTILINEAR_CHUNKS=True"
    with pytest.raises(InputError, match=message), open_anndata(Place(path)) as root, reading(path, "obsm/uneven"):
        elements.read_obsm(root, "uneven")
