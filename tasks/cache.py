"""The content-addressed cache: arrays under the digest of their content, records under their key.

Layout, below any fsspec URL::

    v1/arrays/ab/abcd…/zarr.json, c/0      one Zarr v3 array, one raw chunk; never changes
    v1/records/ab/abcd….json               {"scheme", "kind", "key", "digest", "body"}

A record is written last and names its arrays by digest, so a reader sees a whole entry or none.
Everything read is checked against its digest; what does not fit reads as absent. Nothing is ever
unpickled. The array's metadata is written here and not by the zarr package because a sub-cluster's
split takes 20 ms and zarr's own writing 5 ms an array, and because a raw chunk can be memory-mapped;
any Zarr v3 reader opens it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tasks.digest import canonical_json, digest_array
from tasks.store import Store

SCHEME = 1
Kind = Literal["graph", "knn", "split", "bundle", "umap", "pca"]
log = logging.getLogger("cellstrata.cache")

_DATA_TYPES = {"<i4": "int32", "<i8": "int64", "<f4": "float32", "<f8": "float64"}


class DamagedEntry(Exception):
    """An array of the cache is missing or is not what its name says."""


@dataclass(frozen=True)
class ArrayRef:
    """The address of an array: its digest, type and shape."""

    digest: str
    dtype: str
    shape: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"digest": self.digest, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ArrayRef:
        """Read what `to_json` wrote; KeyError or TypeError when it is not that."""
        return cls(str(value["digest"]), str(value["dtype"]), tuple(int(n) for n in value["shape"]))


@dataclass(frozen=True)
class Record:
    """One entry: what was computed (`kind`), for which key, and its facts with array addresses."""

    kind: str
    key: str
    body: dict[str, Any]

    def array(self, name: str) -> ArrayRef:
        """Return the address of the array called `name`."""
        return ArrayRef.from_json(self.body["arrays"][name])

    def arrays(self) -> dict[str, ArrayRef]:
        """Return the addresses of all arrays of this entry."""
        return {name: ArrayRef.from_json(ref) for name, ref in self.body.get("arrays", {}).items()}


@dataclass(frozen=True)
class Cache:
    """The cache at a store. Picklable; safe for any number of readers and writers at once."""

    store: Store

    # arrays

    def put(self, array: np.ndarray[Any, Any]) -> ArrayRef:
        """Store an array (int32, int64, float32 or float64, any shape) and return its address.

        An intact array that is there already is left as it is; a damaged one is replaced.
        """
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        ref = ArrayRef(digest_array(array), array.dtype.str, array.shape)
        if not array.size or not self.has(ref):
            folder = _array_folder(ref)
            self.store.write(f"{folder}/zarr.json", _zarr_metadata(ref))
            if array.size:  # last, since the chunk alone tells whether the array is there
                self.store.write(f"{folder}/{_chunk(ref)}", array.reshape(-1).view(np.uint8).data)
        return ref

    def has(self, ref: ArrayRef) -> bool:
        """Tell whether an array is there and intact (its bytes are read and checked)."""
        try:
            self.get(ref)
        except DamagedEntry:
            return False
        return True

    def get(self, ref: ArrayRef) -> np.ndarray[Any, Any]:
        """Read an array and check it.

        Raises
        ------
        DamagedEntry
            If it is missing or its bytes do not have the digest of its name.
        """
        if ref.dtype not in _DATA_TYPES:
            raise DamagedEntry(f"array {ref.digest} has the foreign type {ref.dtype!r}")
        try:
            data = self.store.read(f"{_array_folder(ref)}/{_chunk(ref)}") if np.prod(ref.shape) else b""
            array = np.frombuffer(data, dtype=ref.dtype).reshape(ref.shape)
        except FileNotFoundError:
            raise DamagedEntry(f"array {ref.digest} is missing from {self.store.url}") from None
        except ValueError as error:
            raise DamagedEntry(f"array {ref.digest} in {self.store.url}: {error}") from None
        if digest_array(array) != ref.digest:
            raise DamagedEntry(f"array {ref.digest} in {self.store.url} is not what its name says")
        return array

    def view(self, ref: ArrayRef) -> np.ndarray[Any, Any]:
        """Return an array without reading it where it can be memory-mapped, unchecked there.

        Whoever takes rows from it checks those against their own digest.

        Raises
        ------
        DamagedEntry
            If it is missing or has another size than its address says.
        """
        if not self.store.is_local or not np.prod(ref.shape):
            return self.get(ref)
        try:
            path = self.store.path(f"{_array_folder(ref)}/{_chunk(ref)}")
            return np.memmap(path, dtype=ref.dtype, mode="r").reshape(ref.shape)
        except (OSError, ValueError) as error:
            raise DamagedEntry(f"array {ref.digest} in {self.store.url}: {error}") from None

    # records

    def write_record(self, kind: Kind, key: str, body: dict[str, Any]) -> Record:
        """Commit an entry; its arrays must have been put before."""
        document = {"scheme": SCHEME, "kind": kind, "key": key, "digest": _body_digest(body), "body": body}
        self.store.write(_record_path(key), canonical_json(document))
        return Record(kind, key, body)

    def read_record(self, key: str) -> Record | None:
        """Return the entry of a key, or None when there is none that can be trusted.

        Damage is logged as a warning; an entry of another scheme is ignored.
        """
        try:
            raw = self.store.read(_record_path(key))
        except FileNotFoundError:
            return None
        try:
            document = json.loads(raw)
            if document["scheme"] != SCHEME:
                return None
            body = document["body"]
            if document["key"] != key or document["digest"] != _body_digest(body):
                raise ValueError("its digest does not fit")
            record = Record(str(document["kind"]), key, body)
            record.arrays()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("cache entry %s in %s is damaged (%s): computed again", key, self.store.url, error)
            return None
        return record

    def find(self, key: str, kind: Kind) -> Record | None:
        """Return the entry of a key if it is of this kind and its arrays are all there and intact."""
        record = self.read_record(key)
        if record is None or record.kind != kind:
            return None
        for ref in record.arrays().values():
            if not self.has(ref):
                log.warning("an array of cache entry %s is missing or damaged: computed again", key)
                return None
        return record


def _array_folder(ref: ArrayRef) -> str:
    return f"v{SCHEME}/arrays/{ref.digest[:2]}/{ref.digest}"


def _chunk(ref: ArrayRef) -> str:
    return "/".join(["c", *("0" for _ in ref.shape)])


def _record_path(key: str) -> str:
    return f"v{SCHEME}/records/{key[:2]}/{key}.json"


def _body_digest(body: dict[str, Any]) -> str:
    return digest_array(np.frombuffer(canonical_json(body), dtype=np.uint8))


def _zarr_metadata(ref: ArrayRef) -> bytes:
    grid = {"name": "regular", "configuration": {"chunk_shape": [max(1, n) for n in ref.shape]}}
    return canonical_json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(ref.shape),
            "data_type": _DATA_TYPES[ref.dtype],
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": {},
        }
    )
