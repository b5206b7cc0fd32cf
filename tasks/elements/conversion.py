"""Copying AnnData elements from HDF5 (or zarr) into a zarr group, nothing large ever loaded whole.

The structure is copied as it stands: groups with their attributes, arrays block by block in their
own dtype. Only what the two formats store differently (records, references, the forms of very
old files) goes through anndata's own reading and writing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import h5py
import numpy as np
import zarr
from numcodecs import VLenUTF8

from cellstrata.tasks.elements.legacy import is_legacy_frame, read_frame
from cellstrata.tasks.elements.opening import Root
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import attrs_of, encoding, is_array, is_string, sparse_format
from cellstrata.tasks.imports.turns import IMPORTING

# Format 2, not 3: records (rank_genes_groups) written as format 3 by zarr 3.4 cannot be read by
# zarr 3.1 and the other way round warn; format 3 loses big-endian dtypes; zarr < 3 reads only 2.
ZARR_FORMAT = 2

CHUNK_BYTES = 1 << 22
LARGEST_BYTES = 1 << 26
STRING_BYTES = 64  # a guess at a string with its object, for the size of a block

VERSIONS = {
    "dict": "0.1.0",
    "array": "0.2.0",
    "string-array": "0.2.0",
    "string": "0.2.0",
    "numeric-scalar": "0.2.0",
    "csr_matrix": "0.1.0",
    "csc_matrix": "0.1.0",
    "raw": "0.1.0",
}


# Makes an array of numbers of its own way, (node, parent, name, attributes); False where it cannot.
MakeNumbers: TypeAlias = Callable[[Any, zarr.Group, str, dict[str, Any]], bool]


def copy_element(node: Any, parent: zarr.Group, name: str, make_numbers: MakeNumbers | None = None) -> None:
    """Copy an element, array or group with all below it, to `parent[name]`, which must not exist.

    Dtypes are kept to the bit (big-endian ones too where the zarr format has them), attributes as
    JSON. An element without encoding attributes gets those that anndata gives it today. Arrays of
    numbers are made by `make_numbers` where it can.

    Raises
    ------
    anndata's IORegistryError
        If an element of an unknown kind is stored (an HDF5 reference, say).
    """
    with quiet():
        _copy(node, parent, name, make_numbers, bare=False)


def _copy(node: Any, parent: zarr.Group, name: str, make_numbers: MakeNumbers | None, *, bare: bool) -> None:
    if is_array(node):
        _copy_array(node, parent, name, make_numbers, bare=bare)
    elif encoding(node) == "dataframe" and is_legacy_frame(node):
        _through_anndata(node, parent, name)
    else:
        group = parent.create_group(name, attributes=group_attrs(node, name))
        below_sparse = bool(sparse_format(node))
        for key in node:
            _copy(node[key], group, key, make_numbers, bare=below_sparse)


def group_attrs(node: Any, name: str) -> dict[str, Any]:
    """Return the attributes that the copy of a group gets: its own, completed where it is old."""
    attrs = attrs_of(node)
    if sparse_format(node) and "h5sparse_format" in attrs:
        kept = {k: v for k, v in attrs.items() if k not in ("h5sparse_format", "h5sparse_shape")}
        return {**kept, **encoding_of(f"{sparse_format(node)}_matrix"), "shape": attrs["h5sparse_shape"]}
    if not encoding(node):
        attrs |= encoding_of("raw" if name == "raw" else "dict")
    return attrs


def _copy_array(node: Any, parent: zarr.Group, name: str, make_numbers: MakeNumbers | None, *, bare: bool) -> None:
    kind = encoding(node)
    dtype = node.dtype
    if kind == "null" or node.shape is None:
        _through_anndata(node, parent, name)
    elif is_string(node) and kind in ("string-array", "string", ""):
        attrs = attrs_of(node) or encoding_of("string-array" if node.shape else "string")
        _stream_strings(node, parent, name, attrs)
    elif dtype.kind in "biufcS" and (kind or dtype.kind != "S"):
        attrs = attrs_of(node) or ({} if bare else encoding_of("array" if node.shape else "numeric-scalar"))
        if make_numbers is None or not make_numbers(node, parent, name, attrs):
            _stream_numbers(node, parent, name, attrs)
    else:
        _through_anndata(node, parent, name)


def _stream_numbers(node: Any, parent: zarr.Group, name: str, attrs: dict[str, Any]) -> None:
    dtype = np.dtype(node.dtype.str)  # without what HDF5 hangs on it (enumerations)
    chunks = chunk_shape(node.shape, dtype.itemsize, _stored(node))
    target = parent.create_array(name, shape=node.shape, dtype=dtype, chunks=chunks, attributes=attrs)
    if not node.shape:
        target[...] = node[()]
    for block in blocks(node.shape, chunks, _stored(node)):
        target[block] = node[block]


def _stream_strings(node: Any, parent: zarr.Group, name: str, attrs: dict[str, Any]) -> None:
    chunks = chunk_shape(node.shape, STRING_BYTES, _stored(node))
    target = _string_array(parent, name, node.shape, chunks, attrs)
    reader = node.asstr() if isinstance(node, h5py.Dataset) else node
    if not node.shape:
        target[...] = np.array(str(reader[()]), dtype=object)
    for block in blocks(node.shape, chunks, _stored(node)):
        target[block] = np.asarray(reader[block], dtype=object)


def _string_array(
    parent: zarr.Group, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], attrs: dict[str, Any]
) -> Any:
    with IMPORTING:
        from zarr.core.dtype import VariableLengthUTF8

    older: dict[str, Any] = {"filters": [VLenUTF8()], "fill_value": ""} if parent.metadata.zarr_format == 2 else {}
    dtype: Any = VariableLengthUTF8()
    return parent.create_array(name, shape=shape, dtype=dtype, chunks=chunks, attributes=attrs, **older)


def _through_anndata(node: Any, parent: zarr.Group, name: str) -> None:
    with IMPORTING:
        from anndata.io import read_elem, write_elem

    write_elem(parent, name, with_plain_strings(read_elem(node)))


def write_old(root: Root, path: str, target: zarr.Group) -> bool:
    """Write an element of one of the oldest forms as anndata writes it today; False if it is none."""
    slot, _, name = path.partition("/")
    if slot == "raw" and "raw" not in root:
        raw = target.create_group("raw", attributes=encoding_of("raw"))
        for part in (key for key in root if key.startswith("raw.") and key != "raw.cat"):
            if is_array(root[part]) and root[part].dtype.names:
                _write(raw, part[4:], _records(root, part))
            else:
                copy_element(root[part], raw, part[4:])
        return True
    if slot not in ("obs", "var", "obsm", "varm") or not is_array(root[slot]):
        return False
    if name:
        _write(target[slot], name, np.asarray(root[slot][name]))
    else:
        _write(target, slot, _records(root, slot))
    return True


def _write(parent: Any, name: str, value: Any) -> None:
    with IMPORTING:
        from anndata.io import write_elem

    with quiet():
        write_elem(parent, name, with_plain_strings(value))


def with_plain_strings(value: Any) -> Any:
    """Return a table whose text is stored as `string-array`, also within dicts; anything else as it is.

    pandas 3 makes text a dtype of its own, which anndata stores as `nullable-string-array`: anndata 0.10 cannot read
    that. Text with missing values stays as it is.
    """
    with IMPORTING:
        import pandas as pd

    if isinstance(value, dict):
        return {key: with_plain_strings(below) for key, below in value.items()}
    if not isinstance(value, pd.DataFrame):
        return value
    table = value.set_axis(_plain_text(value.index), axis=0)
    for name in table.columns:
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            categories = column.cat.categories
            if (plain := _plain_text(categories)) is not categories:
                dtype = pd.CategoricalDtype(plain, ordered=column.cat.ordered)
                table[name] = pd.Categorical.from_codes(column.cat.codes, dtype=dtype)
        elif isinstance(column.dtype, pd.StringDtype) and not column.isna().any():
            table[name] = column.astype(object)
    return table


def _plain_text(index: Any) -> Any:
    with IMPORTING:
        import pandas as pd

    return index.astype(object) if isinstance(index.dtype, pd.StringDtype) and not index.hasnans else index


def _records(root: Root, slot: str) -> Any:
    if slot.endswith(("varm", "obsm")):
        return {name: np.asarray(root[slot][name]) for name in root[slot].dtype.names}
    return read_frame(root, slot)


def encoding_of(kind: str) -> dict[str, object]:
    """Return the attributes by which anndata knows an element of this kind."""
    return {"encoding-type": kind, "encoding-version": VERSIONS[kind]}


def _stored(node: Any) -> tuple[int, ...]:
    return tuple(getattr(node, "chunks", None) or (1,) * len(node.shape))


def chunk_shape(shape: tuple[int, ...], itemsize: int, stored: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of chunks of about 4 MiB, made of whole stored chunks, grown from the last axis on.

    Stored chunks of more than 64 MiB are cut along the first axis.
    """
    sizes = [max(1, min(c, n)) for c, n in zip(stored, shape, strict=True)]
    if math.prod(sizes) * itemsize > LARGEST_BYTES:
        sizes[0] = max(1, CHUNK_BYTES // (itemsize * math.prod(sizes[1:])))
    for axis in reversed(range(len(sizes))):
        times = min(CHUNK_BYTES // (itemsize * math.prod(sizes)), -(-shape[axis] // sizes[axis]))
        sizes[axis] = max(1, min(sizes[axis] * max(1, times), shape[axis]))
    return tuple(sizes)


def blocks(shape: tuple[int, ...], chunks: tuple[int, ...], stored: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield slices that cover an array in whole chunks; none for a scalar or an empty array.

    Where a stored chunk is larger, a block spans it: it is decompressed whole in any case.
    """
    if not shape:
        return
    steps = [c * max(1, -(-min(s, n) // c)) for c, s, n in zip(chunks, stored, shape, strict=True)]
    for starts in itertools.product(*(range(0, size, step) for size, step in zip(shape, steps, strict=True))):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(starts, steps, shape, strict=True))
