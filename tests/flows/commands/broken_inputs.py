"""Inputs that are wrong, each in one way. A builder writes one into a folder, most as `in.h5ad` or `in.zarr`."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from tests.tasks.small import CELLS, graph_of

N = len(CELLS)
Builder = Callable[[Path], object]


def cells(folder: Path, form: str = "h5ad", name: str = "in") -> Path:
    """Write a good input: X_pca, X_scvi, a graph, two levels of clusters. Every builder below starts from it."""
    master = _master(form)
    path = folder / f"{name}.{form}"
    shutil.copy(master, path) if form == "h5ad" else shutil.copytree(master, path)
    return path


@functools.cache
def _master(form: str) -> Path:
    holder = tempfile.TemporaryDirectory(prefix="cells-")
    atexit.register(holder.cleanup)
    path = Path(holder.name) / f"in.{form}"
    coarse = np.array(["0", "1"])[(CELLS[:, 0] > 600).astype(int)]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["a", "b"] * (N // 2)),
            "leiden_0.5_1": pd.Categorical(coarse),
            "leiden_2.0_1": pd.Categorical(coarse),
            "louvain_0.5_1": pd.Categorical(coarse),
            "louvain_0.5_2": pd.Categorical([f"{label}_0" for label in coarse]),
            "score": np.linspace(0, 1, N),
        },
        index=[f"c{i}" for i in range(N)],
    )
    adata = ad.AnnData(X=np.ones((N, 3), np.float32), obs=obs, var=pd.DataFrame(index=["CD3D", "LYZ", "NKG7"]))
    adata.obsm.update(X_pca=CELLS, X_scvi=CELLS[:, ::-1].copy())
    adata.obsp["connectivities"] = graph_of(CELLS).to_csr()
    params = {"n_neighbors": 10, "method": "umap", "metric": "euclidean", "use_rep": "X_pca"}
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": params}
    write(adata, path)
    return path


def write(adata: ad.AnnData, path: Path) -> None:
    """Write a table in the form of its name, without the warnings of anndata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_h5ad(path, compression="gzip") if path.suffix == ".h5ad" else adata.write_zarr(path)


def edited(change: Callable[[h5py.File], object]) -> Builder:
    """Make a builder of an h5ad from what is changed in a good one."""

    def build(folder: Path) -> None:
        with h5py.File(cells(folder), "r+") as file:
            change(file)

    return build


def replaced(path: str, value: Any) -> Builder:
    """Make a builder that puts another array in the place of an element, with its attributes."""

    def change(file: h5py.File) -> None:
        attrs = dict(file[path].attrs)
        del file[path]
        file[path] = value
        file[path].attrs.update(attrs)

    return edited(change)


def holding(path: str, row: int, value: float) -> Builder:
    """Make a builder that puts one value in a row of an array."""

    def change(file: h5py.File) -> None:
        file[path][row] = value

    return edited(change)


def recorded(name: str, value: Any) -> Builder:
    """Make a builder that records another parameter with the stored graph."""
    return replaced(f"uns/neighbors/params/{name}", value)


def of_bytes(content: bytes, name: str = "in.h5ad") -> Builder:
    """Make a builder of a file from its bytes."""
    return lambda folder: (folder / name).write_bytes(content)


def truncated(folder: Path) -> None:
    path = cells(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten_in_the_middle(folder: Path) -> None:
    path = cells(folder)
    content = bytearray(path.read_bytes())
    content[512:] = b"\xff" * (len(content) - 512)
    path.write_bytes(content)


def damaged_chunk(folder: Path) -> None:
    path = cells(folder)
    with h5py.File(path) as file:
        chunk = file["obsm/X_pca"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)


def damaged_zarr_chunk(folder: Path) -> None:
    path = cells(folder, "zarr") / "obsm" / "X_pca"
    for chunk in [p for p in path.rglob("*") if p.is_file() and p.name not in ("zarr.json", ".zarray", ".zattrs")]:
        chunk.write_bytes(b"\xff" * chunk.stat().st_size)


def zarr_damaged_at(place: str) -> Builder:
    """Make a builder of a zarr with broken metadata at a place."""

    def build(folder: Path) -> None:
        path = cells(folder, "zarr")
        for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"):
            if (path / place / name).is_file():
                (path / place / name).write_text("{")
        (path / ".zmetadata").unlink(missing_ok=True)

    return build


def zarr_without(name: str) -> Builder:
    """Make a builder of a zarr that lacks an element."""

    def build(folder: Path) -> None:
        path = cells(folder, "zarr")
        shutil.rmtree(path / name)

    return build


def folder_of_text(folder: Path) -> None:
    (folder / "in.zarr").mkdir()
    (folder / "in.zarr" / "readme.txt").write_text("not here")


def zip_of_text(folder: Path) -> None:
    with zipfile.ZipFile(folder / "in.zarr", "w") as file:
        file.writestr("readme.txt", "not here")


def unreadable(folder: Path) -> None:
    cells(folder).chmod(0)


def graph_of_one_cell_less(file: h5py.File) -> None:
    graph = file["obsp/connectivities"]
    graph.attrs["shape"] = np.array([N - 1, N - 1])
    indptr = graph["indptr"][:-1]
    del graph["indptr"]
    graph["indptr"] = indptr


def obs_without_index(file: h5py.File) -> None:
    del file["obs"].attrs["_index"]


def obs_of_a_number(file: h5py.File) -> None:
    del file["obs"]
    file["obs"] = 3


def no_level_1(file: h5py.File) -> None:
    del file["obs/leiden_0.5_1"]
    obs = file["obs"]
    obs["leiden_0.5_2"] = np.zeros(N)
    obs.attrs["column-order"] = ["leiden_0.5_2"]


def neighbors_of_unknown_kind(file: h5py.File) -> None:
    file["uns/neighbors"].attrs["encoding-type"] = "graph-of-the-future"


def parent_of_unknown_kind(file: h5py.File) -> None:
    file["obs/leiden_2.0_1"].attrs["encoding-type"] = "labels-of-the-future"


def foreign_output(folder: Path) -> None:
    cells(folder)
    place = folder / "out" / "clustering" / "dataset~d" / "file_id~f.zarr"
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("important")


def earlier(place: str = "one.zarr", **record: str) -> Builder:
    """Make a builder of a good input and an older result of ours."""

    def build(folder: Path) -> None:
        cells(folder)
        result = ad.AnnData(obs=pd.DataFrame(index=["c0"]))
        result.uns["clustering"] = {"made_by": "cellstrata", "column": "leiden_3.0_1", **record}
        write(result, folder / place)

    return build


def with_an_older_result(folder: Path) -> None:
    earlier("out/clustering/dataset~d/file_id~f.zarr")(folder)
    with h5py.File(folder / "in.h5ad", "r+") as file:
        file["obsm/X_pca"][7] = np.nan


def foreign_folder(folder: Path) -> None:
    cells(folder)
    (folder / "one.zarr").mkdir()
    (folder / "one.zarr" / "thesis.txt").write_text("important")


def zarr_input(folder: Path) -> None:
    cells(folder, "zarr")


def two_results(folder: Path) -> None:
    """Write two zarrs, the second of which has other cells."""
    cells(folder, "zarr", "a")
    adata = ad.read_zarr(cells(folder, "zarr", "b"))
    adata.obs_names = [f"other{i}" for i in range(N)]
    shutil.rmtree(folder / "b.zarr")
    write(adata, folder / "b.zarr")


def result_and_existing_output(folder: Path) -> None:
    cells(folder, "zarr", "a")
    (folder / "labels.csv").write_text("important")
