"""Arrays as text within the page: bytes by planes, deflated, base64, with a table of what lies where."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping

import numpy as np


def packed(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, object], str]:
    """Return a directory and the text of arrays of unsigned integers.

    The directory gives for each name its offset in the inflated bytes, its length and the bytes of one
    value. An array's lowest bytes stand first, then the next ones: so they deflate better.
    """
    directory: dict[str, object] = {}
    parts, offset = [], 0
    for name, array in arrays.items():
        values = np.ascontiguousarray(array, dtype=np.dtype(array.dtype).newbyteorder("<"))
        planes = values.view(np.uint8).reshape(values.size, values.itemsize).T
        directory[name] = [offset, values.size, values.itemsize]
        parts.append(planes.tobytes())
        offset += values.nbytes
    return directory, deflated(b"".join(parts))


def deflated(data: bytes) -> str:
    """Return bytes as base64 of their deflated form (zlib's)."""
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def smallest(values: np.ndarray, most: int) -> np.ndarray:
    """Return non-negative values up to `most` as the smallest unsigned integers that hold them."""
    return values.astype(np.uint8 if most < 1 << 8 else np.uint16 if most < 1 << 16 else np.uint32)
