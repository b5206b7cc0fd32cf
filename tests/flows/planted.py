"""182 cells whose clusters are known at two levels, and edits of them: each is an edge case of an input.

Three large clouds (the stored graph: each complete) of 2, 2 and 3 small ones (`X_pca`), numbered by size.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem, write_elem
from zarr.storage import LocalStore

from cellstrata.tasks.elements.storage_nodes import shape_of
from tests.tasks.everything import save
from tests.tasks.small import coarse, nested

CELLS, OF = nested()
N = len(CELLS)
SMALL = [["2_1", "2_0", "1_1", "1_0", "0_2", "0_1", "0_0"][cloud] for cloud in OF]
LARGE = [label[0] for label in SMALL]
GRAPH = coarse(OF).to_csr()
OPTIONS = ("--resolution", "0.1")

Change = Callable[[ad.AnnData], Any]
Edit = Callable[[Path], Any]


def planted() -> ad.AnnData:
    """Return the cells, with a stored graph for level 1."""
    obs = pd.DataFrame({"cloud": pd.Categorical(LARGE)}, index=[f"c{i}" for i in range(N)])
    adata = ad.AnnData(obs=obs, obsm={"X_pca": CELLS.copy()}, obsp={"connectivities": GRAPH.copy()})
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "params": {"n_neighbors": 10, "method": "umap", "metric": "euclidean", "use_rep": "X_pca"},
    }
    return adata


def write(folder: Path, form: str = "h5ad", change: Change | None = None, edit: Edit | None = None) -> str:
    """Write the cells, changed before or edited afterwards; `form` as in `save`."""
    adata = planted()
    if change is not None:
        change(adata)
    path = save(adata, folder, form)
    return path if edit is None else edited(path, edit)


def edited(path: str, edit: Edit) -> str:
    """Edit a file; a zarr is consolidated again where that is not what the edit is about."""
    edit(Path(path))
    if path.endswith(".zarr") and edit not in (unconsolidated, stale):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(path)
    return path


def names(path: str) -> list[str]:
    """Return the names of the cells of a file, consolidated or not."""
    obs = group_of(Path(path), "r")["obs"]
    return [str(name) for name in read_elem(obs[str(obs.attrs["_index"])])]


def labels(path: Path | str) -> list[Any]:
    """Return the labels of a result with one column, a categorical of texts; missing ones are NaN."""
    obs = result(path).obs
    assert obs.shape[1] == 1
    column = obs.iloc[:, 0]
    assert isinstance(column.dtype, pd.CategoricalDtype)
    assert all(type(label) is str for label in column.cat.categories)
    assert not column.cat.ordered
    return list(column)


def result(path: Path | str) -> ad.AnnData:
    """Read a result, also from a path that zarr would take for a URL."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not unique")
        return ad.read_zarr(zarr.open_group(LocalStore(path), mode="r"))


def leftovers(folder: Path) -> list[Path]:
    """Return what an interrupted write has left in a folder."""
    return [path for path in folder.rglob("*") if path.name.endswith((".part", ".old"))]


# changes of what is written


def embedding(make: Callable[[Any], Any]) -> Change:
    """Hold `X_pca` in another form."""

    def change(adata: ad.AnnData) -> None:
        made = make(CELLS)
        adata.obsm["X_pca"] = made.set_index(adata.obs_names) if isinstance(made, pd.DataFrame) else made

    return change


def graph(make: Callable[[Any], Any]) -> Change:
    """Hold the connectivities in another form, or others."""
    return lambda adata: adata.obsp.__setitem__("connectivities", make(GRAPH.copy()))


def with_zeros(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Return a matrix whose diagonal is stored too, as zeros, with int64 indices."""
    entries = matrix.tocoo()
    diagonal = np.arange(N)
    rows, columns = np.r_[entries.row, diagonal], np.r_[entries.col, diagonal]
    made = sp.csr_matrix((np.r_[entries.data, np.zeros(N, np.float32)], (rows, columns)), shape=(N, N))
    made.indices, made.indptr = made.indices.astype(np.int64), made.indptr.astype(np.int64)
    assert made.nnz == matrix.nnz + N
    return made


def without(cells: int) -> Callable[[Any], Any]:
    """Take the edges of the first cells away."""

    def make(matrix: sp.csr_matrix) -> sp.csr_matrix:
        kept = sp.diags((np.arange(N) >= cells).astype(np.float32))
        return (kept @ matrix @ kept).tocsr()

    return make


def many_columns(adata: ad.AnnData) -> None:
    """Add columns of the kinds that are hard to keep."""
    adata.obs["flag"] = OF > 2
    adata.obs["maybe"] = pd.array([None, *(OF[1:] > 2)], dtype="boolean")
    adata.obs["count"] = pd.array([None, *OF[1:]], dtype="Int32")
    adata.obs["001"] = pd.Categorical(["001"] * N, categories=["1", "001", "unused"])
    adata.obs["höhe µ"] = np.arange(N)
    adata.obs_names = ["same"] * N


def index_is_a_column(adata: ad.AnnData) -> None:
    """Have the index of obs as a column too; both are stored once."""
    adata.obs.index.name = "barcode"
    adata.obs["barcode"] = adata.obs.index


# edits of the file: what today's anndata does not write


def group_of(path: Path, mode: Any = "r+") -> Any:
    """Open a file to edit it."""
    if path.suffix == ".h5ad":
        return h5py.File(path, mode)
    return zarr.open_group(str(path), mode=mode, use_consolidated=False)


def integer_names(path: Path) -> None:
    """Store the cells' names as numbers."""
    obs = group_of(path)["obs"]
    key = str(obs.attrs["_index"])
    del obs[key]
    write_elem(obs, key, np.arange(N))


def slash_in_a_name(path: Path) -> None:
    """Add the column `a/b ☃`, which is stored as an array in a group `a`."""
    obs = group_of(path)["obs"]
    write_elem(obs.create_group("a"), "b ☃", np.arange(shape_of(obs)[0]))
    obs.attrs["column-order"] = [*obs.attrs["column-order"], "a/b ☃"]


def one_axis(path: Path) -> None:
    """Store an embedding of one dimension as an array of one axis, the small clouds apart."""
    obsm = group_of(path)["obsm"]
    del obsm["X_pca"]
    along = np.array([np.count_nonzero(OF[:cell] == OF[cell]) for cell in range(N)])  # one after the other, no gaps
    write_elem(obsm, "X_pca", (along * 0.01 + OF * 1000.0).astype(np.float32))


def unconsolidated(path: Path) -> None:
    """Take the consolidated metadata away."""
    if (path / ".zmetadata").exists():
        (path / ".zmetadata").unlink()
    else:
        metadata = json.loads((path / "zarr.json").read_text())
        del metadata["consolidated_metadata"]
        (path / "zarr.json").write_text(json.dumps(metadata))


def stale(path: Path) -> None:
    """Change obs and the graph, and leave the consolidated metadata as they were."""
    root = group_of(path)
    write_elem(root["obs"], "later", np.arange(N))
    root["obs"].attrs["column-order"] = ["cloud", "later"]
    del root["obsp/connectivities"]
    write_elem(root["obsp"], "connectivities", with_zeros(GRAPH))
    write_elem(root["obsm"], "later", np.ones((N, 2)))
