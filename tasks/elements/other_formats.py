"""Files that hold cells and are no AnnData: what they are, told by what is inside, and how one is made of them."""

from __future__ import annotations

from typing import Any

from cellstrata.tasks.elements.storage_nodes import encoding, is_array
from cellstrata.tasks.stores.store import join

MUDATA_FILE = b"MuData"  # how an h5mu begins, before its HDF5
OF_MUDATA = "is a MuData, several AnnData in one file"


def other_format(root: Any, url: str) -> str | None:
    """Say what an HDF5 or zarr root is, if it is known to be no AnnData, and what to do; None otherwise."""
    if encoding(root) == "MuData":
        names = list(root["mod"]) if "mod" in root else []
        each = ", ".join(join(url, "mod", name) for name in names)
        return f"is a MuData, several AnnData in one: give one of them, {each}" if names else OF_MUDATA
    if "obs" in root:
        return None
    if {"row_attrs", "col_attrs", "matrix"} <= set(root):
        return "is a loom file; make an h5ad of it, `anndata.io.read_loom(path)`, and compute an embedding"
    if any(not is_array(root[name]) and "barcodes" in root[name] for name in root):
        return "is a 10x HDF5 file of counts; make an h5ad of it, `scanpy.read_10x_h5(path)`, and compute an embedding"
    if {"assays", "cell.names"} <= set(root):
        return 'is an h5Seurat file; make an h5ad of it in R, `SeuratDisk::Convert(path, dest = "h5ad")`'
    return None


def other_folder(names: list[str]) -> str | None:
    """The same of a folder, by the names in it."""
    if {"matrix.mtx", "matrix.mtx.gz"} & set(names):
        return "is a 10x folder of counts; make an h5ad of it, `scanpy.read_10x_mtx(path)`, and compute an embedding"
    if {"snapshots", "manifests"} <= set(names):
        return "is an Icechunk repository; copy a snapshot of it to a zarr folder, and give that"
    return None
