"""Copying AnnData elements from zarr into an HDF5 group, nothing large ever loaded whole."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from cellstrata.tasks.elements.conversion import blocks, chunk_shape
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import attrs_of, encoding, is_array, is_string
from cellstrata.tasks.imports.turns import IMPORTING

ITEM_BYTES = 64  # a guess at a string, for the size of a block


def copy_to_hdf5(node: Any, parent: h5py.Group, name: str) -> None:
    """Copy an element of a zarr, array or group with all below it, to `parent[name]`, which must not exist.

    Dtypes are kept; numbers and strings go block by block, compressed by gzip. What HDF5 stores differently goes
    through anndata.
    """
    if not is_array(node):
        group = parent.create_group(name)
        for key in node:
            copy_to_hdf5(node[key], group, key)
        _put_attrs(node, group)
    elif is_string(node) and encoding(node) in ("string-array", "string", ""):
        _stream(node, parent, name, h5py.string_dtype(), ITEM_BYTES)
    elif node.dtype.kind in "biufc" and encoding(node) != "null":
        _stream(node, parent, name, node.dtype, node.dtype.itemsize)
    else:
        with IMPORTING:
            from anndata.io import read_elem, write_elem

        with quiet():
            write_elem(parent, name, read_elem(node))


def _stream(node: Any, parent: h5py.Group, name: str, dtype: Any, itemsize: int) -> None:
    if not node.shape or 0 in node.shape:
        made = parent.create_dataset(name, shape=node.shape, dtype=dtype)
        if not node.shape:
            value = node[()]
            made[()] = str(value) if is_string(node) else value
    else:
        stored = tuple(node.chunks)
        chunks = chunk_shape(node.shape, itemsize, stored)
        made = parent.create_dataset(name, shape=node.shape, dtype=dtype, chunks=chunks, compression="gzip")
        for block in blocks(node.shape, chunks, stored):
            values = np.asarray(node[block])
            made[block] = values.astype(object) if is_string(node) else values
    _put_attrs(node, made)


def _put_attrs(node: Any, made: Any) -> None:
    for key, value in attrs_of(node).items():
        if isinstance(value, dict) or value is None:  # what HDF5 cannot hold is of the zarr alone
            continue
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        made.attrs[key] = np.array(value, dtype=h5py.string_dtype()) if texts else value
