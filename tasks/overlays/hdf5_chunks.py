"""Where the chunks of an HDF5 dataset lie in its file, and how a zarr array of format 2 reads them there.

What HDF5 stores as zarr does, bytes through shuffle and gzip, or plain, can be referred to. Strings of
variable length, records, and what went through other filters cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numcodecs
import numpy as np
import zarr

from cellstrata.tasks.overlays.document import Ref

CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Layout:
    """How a zarr array must be made for its chunks to be those of a dataset: `parts` are offset and length by key.

    `padded` are the chunks of a contiguous dataset that would reach over the end of the file.
    """

    chunks: tuple[int, ...]
    filters: list[Any]
    compressor: Any
    fill_value: Any
    parts: Mapping[str, tuple[int, int]]
    padded: Mapping[str, slice]


def layout_of(node: object, file_size: int) -> Layout | None:
    """Return where the bytes of a dataset of numbers lie, None where they cannot be referred to."""
    codecs = _codecs(node)
    if not isinstance(node, h5py.Dataset) or codecs is None or not node.shape or not node.size:
        return None
    if node.is_virtual or node.external or node.file.userblock_size or _as_stored(node) is None:
        return None
    if node.chunks is None:
        return _contiguous(node, file_size)
    parts: dict[str, tuple[int, int]] = {}
    skipped = []

    def take(info: Any) -> None:
        index = (start // size for start, size in zip(info.chunk_offset, node.chunks, strict=True))
        parts[".".join(map(str, index))] = (int(info.byte_offset), int(info.size))
        skipped.append(info.filter_mask)

    node.id.chunk_iter(take)
    if any(skipped):  # a filter was left out where it did not help
        return None
    *filters, last = [None, *codecs]
    compressor = last if isinstance(last, numcodecs.Zlib) else None
    named = [codec for codec in (filters if compressor else codecs) if codec is not None]
    return Layout(node.chunks, named, compressor, _fill_value(node), parts, {})


def create_array(parent: zarr.Group, name: str, node: Any, layout: Layout, attrs: dict[str, Any]) -> Any:
    """Make a zarr array of format 2 whose chunks are those of the dataset."""
    return parent.create_array(
        name, shape=node.shape, dtype=np.dtype(node.dtype.str), chunks=layout.chunks, attributes=attrs,
        filters=layout.filters or None, compressors=layout.compressor, fill_value=layout.fill_value,
    )  # fmt: skip


def refs_of(layout: Layout, path: str, source: int) -> dict[str, Ref]:
    """Return the references to the chunks of an array at `path`."""
    return {f"{path}/{key}": Ref(source, "", *part) for key, part in layout.parts.items()}


def _as_stored(node: Any) -> str | None:
    """The dtype if its bytes in the file are those in memory: truth values are stored as bytes, complex as pairs."""
    stored = node.id.get_type()
    dtype = np.dtype(node.dtype.str)
    plain = dtype.kind in "biufcS" and stored.get_size() == dtype.itemsize
    if isinstance(stored, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
        plain = plain and 8 * dtype.itemsize == stored.get_precision()
    return dtype.str if plain else None


def _codecs(node: object) -> list[object] | None:
    """The filters of a dataset in their order, None where one of them is not known here."""
    if not isinstance(node, h5py.Dataset):
        return None
    pipeline, found = node.id.get_create_plist(), []
    for number in range(pipeline.get_nfilters()):
        code, _, values, _ = pipeline.get_filter(number)
        if code == h5py.h5z.FILTER_SHUFFLE:
            found.append(numcodecs.Shuffle(elementsize=node.dtype.itemsize))
        elif code == h5py.h5z.FILTER_DEFLATE:
            found.append(numcodecs.Zlib(level=values[0]))
        elif code == h5py.h5z.FILTER_FLETCHER32:
            found.append(numcodecs.Fletcher32())
        else:
            return None
    return found


def _contiguous(node: Any, file_size: int) -> Layout | None:
    """Cut a dataset that is one piece into chunks of whole rows."""
    start = node.id.get_offset()
    if start is None:
        return None
    row = node.dtype.itemsize * math.prod(node.shape[1:])
    rows = max(1, min(node.shape[0], CHUNK_BYTES // max(1, row)))
    parts, padded = {}, {}
    for number, first in enumerate(range(0, node.shape[0], rows)):
        key = ".".join([str(number), *("0" for _ in node.shape[1:])])
        offset, length = start + first * row, rows * row
        # A chunk is whole in zarr; what follows the last row in the file is not looked at.
        if offset + length <= file_size:
            parts[key] = (offset, length)
        else:
            padded[key] = slice(first, node.shape[0])
    return Layout((rows, *node.shape[1:]), [], None, _fill_value(node), parts, padded)


def _fill_value(node: Any) -> Any:
    return np.asarray(node.fillvalue, dtype=np.dtype(node.dtype.str))[()]
