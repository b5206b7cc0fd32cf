"""Digests: BLAKE2b over bytes that mean the same on every machine."""

from __future__ import annotations

import hashlib
import json

import numpy as np

SIZE = 16  # bytes: 128 bits, far beyond accidental collision


def digest_array(array: np.ndarray) -> str:
    """Return the digest of an array: its little-endian type, its shape and its bytes in C order."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    state = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=SIZE)
    state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def digest_values(**values: object) -> str:
    """Return the digest of plain JSON values, independent of their order.

    Raises
    ------
    TypeError, ValueError
        If a value is not JSON, NaN and infinity included: a key must never depend on a repr.
    """
    return hashlib.blake2b(canonical_json(values), digest_size=SIZE).hexdigest()


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
