"""What the nodes of an AnnData file are: the same questions asked of HDF5 and of zarr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import zarr

from cellstrata.tasks.elements.claimed_size import check_claim
from cellstrata.tasks.stores.ranges import RangeFile

_remote: dict[int, RangeFile] = {}  # open HDF5 files that lie in a bucket, by the number HDF5 gives them


def open_remote(root: h5py.File, source: Any) -> int:
    """Note that an HDF5 file is read from a bucket, through `source`; returns its number."""
    _remote[root.id.id] = source
    return int(root.id.id)


def close_remote(number: int) -> None:
    """Forget it."""
    _remote.pop(number, None)


def read_ahead(node: Any, rows: slice | None = None) -> None:
    """Before these rows of an array are read, all by default, fetch their stored chunks at once.

    HDF5 would fetch one after the other. Does nothing for what is not an HDF5 dataset in a bucket; a
    dataset in one piece HDF5 reads at once by itself.
    """
    source = _remote.get(node.file.id.id) if isinstance(node, h5py.Dataset) else None
    if source is None or not node.chunks or not node.size:
        return
    first, last = (0, node.shape[0]) if rows is None else (rows.start, rows.stop)
    found: list[tuple[int, int]] = []

    def take(chunk: Any) -> None:
        if chunk.chunk_offset[0] < last and chunk.chunk_offset[0] + node.chunks[0] > first:
            found.append((chunk.byte_offset, chunk.byte_offset + chunk.size))

    node.id.chunk_iter(take)
    source.prefetch(found)


def values_of(node: Any) -> Any:
    """Read the whole of an array or scalar; raises InputError if it claims more than it can be (`check_claim`)."""
    check_claim(node)
    read_ahead(node)
    return node[()]


def is_array(node: Any) -> bool:
    """Tell whether a node is an array (HDF5 dataset or zarr array), not a group."""
    return isinstance(node, (h5py.Dataset, zarr.Array))


def attrs_of(node: Any) -> dict[str, Any]:
    """Return the attributes of a node as JSON would have them; those that JSON cannot hold are left out."""
    plain = {}
    for key, value in node.attrs.items():
        if isinstance(value, (h5py.Empty, h5py.Reference)):
            continue
        plain[key] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, bytes):
        return value.decode()
    return value


def encoding(node: Any) -> str:
    """Return the `encoding-type` of a node, `""` where there is none (anndata before 0.7 and 0.8)."""
    return str(_plain(node.attrs.get("encoding-type", "")))


def sparse_format(node: Any) -> str:
    """Return `csr` or `csc` for a stored sparse matrix, also one of anndata before 0.7, else `""`."""
    if is_array(node):
        return ""
    name = encoding(node).removesuffix("_matrix") or str(_plain(node.attrs.get("h5sparse_format", "")))
    return name if name in ("csr", "csc") else ""


def shape_of(node: Any) -> tuple[int, ...]:
    """Return the shape of an element without reading it; the first number is its length."""
    if is_array(node):
        return tuple(int(size) for size in node.shape)
    if sparse_format(node):
        return tuple(int(size) for size in node.attrs.get("shape", node.attrs.get("h5sparse_shape")))
    kind = encoding(node)
    if kind == "dataframe":
        columns = node.attrs["column-order"]
        return (shape_of(node[index_key(node)])[0], len(columns))
    if kind == "awkward-array":
        return (int(node.attrs["length"]),)
    for part in ("codes", "values"):  # categorical, nullable
        if part in node:
            return shape_of(node[part])
    raise ValueError(f"an element of the unknown encoding {kind!r}")


def index_key(frame: Any) -> str:
    """Return the name of the child that holds the index of a dataframe group."""
    return str(_plain(frame.attrs["_index"]))


def is_string(node: Any) -> bool:
    """Tell whether an array holds strings of variable length, in HDF5 or zarr."""
    if isinstance(node, h5py.Dataset):
        info = h5py.check_string_dtype(node.dtype)
        return info is not None and info.length is None
    return node.dtype.kind in "OT"


def strings(node: Any) -> np.ndarray:
    """Read an array or element of strings or numbers as an object array of str, length n, missing as None.

    Takes plain, categorical and nullable elements.
    """
    if is_array(node):
        if isinstance(node, h5py.Dataset) and h5py.check_string_dtype(node.dtype) is not None:
            check_claim(node)
            read_ahead(node)
            return np.asarray(node.asstr()[()], dtype=object)
        values = np.asarray(values_of(node))
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8")
        return values.astype(str).astype(object) if values.dtype.kind in "biufU" else values.astype(object)
    if "codes" in node:
        codes = np.asarray(values_of(node["codes"]))
        taken = strings(node["categories"])
        missing = codes < 0
        named = np.full(len(codes), None, dtype=object)
        named[~missing] = taken[codes[~missing]]
        return named
    named = strings(node["values"])
    named[np.asarray(values_of(node["mask"]), dtype=bool)] = None
    return named


def row_blocks(node: Any, target_bytes: int) -> Iterator[slice]:
    """Yield slices that cover the first axis, whole stored chunks where these are not too large."""
    n = int(node.shape[0])
    row = max(1, int(np.prod(node.shape[1:], dtype=np.int64)) * node.dtype.itemsize)
    step = max(1, target_bytes // row)
    stored = node.chunks[0] if getattr(node, "chunks", None) else 1
    step = max(stored, step - step % stored)  # a stored chunk is decompressed whole in any case
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
