"""An entry of the cache: its facts, the addresses of its arrays, and the small ones of these themselves.

An array of up to `INLINE` bytes is written into the record that names it: most clusters are small, and
in a bucket one request costs more than their labels. Larger ones lie under the digest of their content.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cellstrata.tasks.stores.digest import canonical_json, digest_array

SCHEME = 1
INLINE = 1 << 18  # bytes

Array = np.ndarray
DATA_TYPES = {"<i4": "int32", "<i8": "int64", "<f4": "float32", "<f8": "float64"}


class DamagedEntry(Exception):
    """An array of the cache is missing or is not what its name says."""


@dataclass(frozen=True)
class ArrayRef:
    """The address of an array: its digest, type and shape."""

    digest: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: Array) -> ArrayRef:
        """Return the address that an array (contiguous, little endian) has."""
        return cls(digest_array(array), array.dtype.str, array.shape)

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"digest": self.digest, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ArrayRef:
        """Read what `to_json` wrote; KeyError or TypeError when it is not that."""
        return cls(str(value["digest"]), str(value["dtype"]), tuple(int(n) for n in value["shape"]))


@dataclass(frozen=True)
class Record:
    """One entry: what was computed (`kind`), for which key, and its facts with array addresses.

    `inline` are the arrays that came with it, by name, checked against their digests.
    """

    kind: str
    key: str
    body: dict[str, Any]
    inline: Mapping[str, Array] = field(default_factory=dict, repr=False, compare=False)

    def array(self, name: str) -> ArrayRef:
        """Return the address of the array called `name`."""
        return ArrayRef.from_json(self.body["arrays"][name])

    def arrays(self) -> dict[str, ArrayRef]:
        """Return the addresses of all arrays of this entry."""
        return {name: ArrayRef.from_json(ref) for name, ref in self.body.get("arrays", {}).items()}

    def apart(self) -> dict[str, ArrayRef]:
        """Return the addresses of those arrays that lie beside it."""
        return {name: ref for name, ref in self.arrays().items() if name not in self.inline}

    def to_bytes(self) -> bytes:
        """Return what is stored: canonical JSON, with the digest of the body."""
        document = {
            "scheme": SCHEME,
            "kind": self.kind,
            "key": self.key,
            "digest": _body_digest(self.body),
            "body": self.body,
        }
        if self.inline:
            document["inline"] = {
                name: base64.b64encode(array.tobytes()).decode() for name, array in self.inline.items()
            }
        return canonical_json(document)


def plain(array: Array) -> Array:
    """Return an array as it is stored: contiguous and little endian."""
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def parse_record(raw: bytes, key: str) -> Record | None:
    """Read an entry's bytes; None for one of another scheme.

    Raises
    ------
    DamagedEntry
        If it is no entry of this key, or has been altered.
    """
    try:
        document = json.loads(raw)
        if document["scheme"] != SCHEME:
            return None
        body = document["body"]
        if document["key"] != key or document["digest"] != _body_digest(body):
            raise ValueError("its digest does not fit")
        record = Record(str(document["kind"]), key, body)
        refs, inline = record.arrays(), document.get("inline", {})
        arrays = {name: array_of(base64.b64decode(text, validate=True), refs[name]) for name, text in inline.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise DamagedEntry(f"{type(error).__name__}: {error}") from None
    return Record(record.kind, key, body, arrays)


def array_of(data: bytes, ref: ArrayRef) -> Array:
    """Return the array of an address from its bytes, read-only and checked.

    Raises
    ------
    DamagedEntry
        If the bytes are not those of the array.
    """
    if ref.dtype not in DATA_TYPES:
        raise DamagedEntry(f"array {ref.digest} has the foreign type {ref.dtype!r}")
    try:
        array = np.frombuffer(data, dtype=ref.dtype).reshape(ref.shape)
    except ValueError as error:
        raise DamagedEntry(f"array {ref.digest}: {error}") from None
    if digest_array(array) != ref.digest:
        raise DamagedEntry(f"array {ref.digest} is not what its name says")
    return array


def _body_digest(body: dict[str, object]) -> str:
    return digest_array(np.frombuffer(canonical_json(body), dtype=np.uint8))
