"""The content-addressed cache: arrays under the digest of their content, records under their key.

Layout, below any fsspec URL::

    v1/arrays/ab/abcd…/zarr.json, c/0      one Zarr v3 array, one raw chunk; never changes
    v1/records/ab/abcd….json               {"scheme", "kind", "key", "digest", "body"}
    v1/leases, v1/claims, v1/datasets      who uses it, who computes what, what each dataset used

A record is written last and names its arrays by digest, so a reader sees a whole entry or none.
Everything read is checked against its digest; what does not fit reads as absent. Nothing is ever
unpickled. A second cache may stand behind it, which is only read. The time of a record's file says
when it was last used, on a local disk; in a bucket, when it was made.

The array's metadata is written here and not by the zarr package because a sub-cluster's split takes
20 ms and zarr's own writing 5 ms an array, and because a raw chunk can be memory-mapped; any Zarr v3
reader opens it.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tasks.digest import canonical_json, digest_array
from tasks.fetched import fetched
from tasks.store import Store, protocol_of

SCHEME = 1
AGAIN = 2  # times that an array in a bucket is read again before it counts as damaged
Kind = Literal["graph", "knn", "split", "bundle", "umap", "pca", "input"]
log = logging.getLogger("cellstrata.cache")

_DATA_TYPES = {"<i4": "int32", "<i8": "int64", "<f4": "float32", "<f8": "float64"}


class DamagedEntry(Exception):
    """An array of the cache is missing or is not what its name says."""


class MissingEntry(DamagedEntry):
    """An array of the cache is missing."""


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
    behind: Store | None = None

    @property
    def stores(self) -> list[Store]:
        """Where to look, in this order; only the first is ever written to."""
        return [self.store] if self.behind is None else [self.store, self.behind]

    # arrays

    def put(self, array: np.ndarray[Any, Any]) -> ArrayRef:
        """Store an array (int32, int64, float32 or float64, any shape) and return its address.

        An intact array that is there already is left as it is, but for its time; a damaged one is
        replaced.
        """
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        ref = ArrayRef(digest_array(array), array.dtype.str, array.shape)
        folder = array_folder(ref.digest)
        if array.size and _intact(self.store, ref):
            self.store.touch(f"{folder}/{chunk_name(ref)}")  # in use again: not to be pruned
        else:
            self.store.write(f"{folder}/zarr.json", zarr_metadata(ref))
            if array.size:  # last, since the chunk alone tells whether the array is there
                self.store.write(f"{folder}/{chunk_name(ref)}", array.reshape(-1).view(np.uint8).data)
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
        try:
            return _read(self.store, ref)
        except DamagedEntry:
            if self.behind is None:
                raise
        return _read(self.behind, ref)

    def view(self, ref: ArrayRef) -> np.ndarray[Any, Any]:
        """Return an array without reading it where it can be memory-mapped, unchecked there.

        From a bucket it is fetched and checked once in a process. Whoever takes rows from it checks
        those against their own digest.

        Raises
        ------
        DamagedEntry
            If it is missing or has another size than its address says.
        """
        for store in self.stores if np.prod(ref.shape) else []:
            if store.is_local:
                with contextlib.suppress(OSError, ValueError):
                    path = store.path(f"{array_folder(ref.digest)}/{chunk_name(ref)}")
                    return np.memmap(path, dtype=ref.dtype, mode="r").reshape(ref.shape)
        if not np.prod(ref.shape) or protocol_of(self.store.url) == "memory":
            return self.get(ref)
        return fetched(f"{self.store.url} {ref.digest}", lambda: self.get(ref))

    # records

    def write_record(self, kind: Kind, key: str, body: dict[str, Any]) -> Record:
        """Commit an entry; its arrays must have been put before."""
        document = {"scheme": SCHEME, "kind": kind, "key": key, "digest": _body_digest(body), "body": body}
        self.store.write(record_path(key), canonical_json(document))
        return Record(kind, key, body)

    def read_record(self, key: str) -> Record | None:
        """Return the entry of a key, or None when there is none that can be trusted.

        Damage is logged as a warning; an entry of another scheme is ignored.
        """
        for store in self.stores:
            try:
                raw = store.read(record_path(key))
            except FileNotFoundError:
                continue
            try:
                record = parse_record(raw, key)
            except DamagedEntry as error:
                log.warning("cache entry %s in %s is damaged (%s): computed again", key, store.url, error)
                continue
            if record is not None:
                if store is self.store:
                    store.touch(record_path(key))
                return record
        return None

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
        record.arrays()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedEntry(f"{type(error).__name__}: {error}") from None
    return record


def array_folder(digest: str) -> str:
    """Return where an array lies in a cache."""
    return f"v{SCHEME}/arrays/{digest[:2]}/{digest}"


def record_path(key: str) -> str:
    """Return where an entry lies in a cache."""
    return f"v{SCHEME}/records/{key[:2]}/{key}.json"


def _read(store: Store, ref: ArrayRef) -> np.ndarray[Any, Any]:
    """Read and check an array; from a bucket again if it is not what it should be: an answer may be garbled."""
    for _ in range(0 if store.is_local else AGAIN):
        try:
            return _read_once(store, ref)
        except MissingEntry:
            raise
        except DamagedEntry:
            continue
    return _read_once(store, ref)


def _read_once(store: Store, ref: ArrayRef) -> np.ndarray[Any, Any]:
    if ref.dtype not in _DATA_TYPES:
        raise DamagedEntry(f"array {ref.digest} has the foreign type {ref.dtype!r}")
    try:
        data = store.read(f"{array_folder(ref.digest)}/{chunk_name(ref)}") if np.prod(ref.shape) else b""
        array = np.frombuffer(data, dtype=ref.dtype).reshape(ref.shape)
    except FileNotFoundError:
        raise MissingEntry(f"array {ref.digest} is missing from {store.url}") from None
    except ValueError as error:
        raise DamagedEntry(f"array {ref.digest} in {store.url}: {error}") from None
    if digest_array(array) != ref.digest:
        raise DamagedEntry(f"array {ref.digest} in {store.url} is not what its name says")
    return array


def _intact(store: Store, ref: ArrayRef) -> bool:
    try:
        _read(store, ref)
    except DamagedEntry:
        return False
    return True


def chunk_name(ref: ArrayRef) -> str:
    """Return where an array's bytes lie in its folder; an array without values has none."""
    return "/".join(["c", *("0" for _ in ref.shape)])


def _body_digest(body: dict[str, Any]) -> str:
    return digest_array(np.frombuffer(canonical_json(body), dtype=np.uint8))


def zarr_metadata(ref: ArrayRef) -> bytes:
    """Return what an array's zarr.json holds."""
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
