"""The content-addressed cache: arrays under the digest of their content, records under their key.

Layout, below any fsspec URL::

    v1/arrays/ab/abcd…/zarr.json, c/0      one Zarr v3 array, one raw chunk; never changes
    v1/records/ab/abcd….json               {"scheme", "kind", "key", "digest", "body", "inline"}
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
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from cellstrata.tasks.cache.local_copies import checked_once, fetched
from cellstrata.tasks.cache.recent_entries import Recent
from cellstrata.tasks.cache.record import DATA_TYPES, INLINE, SCHEME, array_of, parse_record, plain
from cellstrata.tasks.cache.record import ArrayRef as ArrayRef
from cellstrata.tasks.cache.record import DamagedEntry as DamagedEntry
from cellstrata.tasks.cache.record import Record as Record
from cellstrata.tasks.cache.writes_behind import WritesBehind
from cellstrata.tasks.stores.digest import canonical_json
from cellstrata.tasks.stores.parallel import at_once
from cellstrata.tasks.stores.store import Store, protocol_of

AGAIN = 2  # times that an array in a bucket is read again before it counts as damaged
Kind = Literal[
    "graph", "knn", "split", "bundle", "umap", "pca", "input", "gene", "evidence", "embedding", "markers",
    "child_markers",
]  # fmt: skip
log = logging.getLogger("cellstrata.cache")


class MissingEntry(DamagedEntry):
    """An array of the cache is missing."""


@dataclass(frozen=True)
class Cache:
    """The cache at a store. Picklable; safe for any number of readers and writers at once.

    `recent` are the entries that this run has seen, `writes` those that it is writing; another process
    starts with none.
    """

    store: Store
    behind: Store | None = None
    recent: Recent | None = field(default=None, repr=False, compare=False)
    writes: WritesBehind | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, object]:
        return {"store": self.store, "behind": self.behind, "recent": None, "writes": None}

    def for_run(self) -> Cache:
        """Return the same cache, which reads and checks each entry only once."""
        return replace(self, recent=Recent())

    @contextlib.contextmanager
    def for_job(self, listed: frozenset[str] | None = None) -> Iterator[Cache]:
        """Yield the same for one job, which in a bucket does not wait for its writes until `settle`.

        `listed` are the entries that there are, where that is known (`cellstrata.tasks.cache.known_entries`).
        """
        if self.store.is_local:
            yield self.for_run()
            return
        with WritesBehind() as writes:
            yield replace(self, recent=Recent(listed), writes=writes)

    def settle(self) -> None:
        """Wait until all is written; raises what failed."""
        if self.writes is not None:
            self.writes.settle()

    @property
    def stores(self) -> list[Store]:
        """Where to look, in this order; only the first is ever written to."""
        return [self.store] if self.behind is None else [self.store, self.behind]

    # arrays

    def put(self, array: np.ndarray) -> ArrayRef:
        """Store an array (int32, int64, float32 or float64, any shape) and return its address.

        On a local disk an intact array that is there already is left as it is, but for its time; in a
        bucket, where looking takes as long as writing, it is written again, which keeps it from being pruned.
        """
        array = plain(array)
        ref = ArrayRef.of(array)
        if self.writes is None:
            self._put(ref, array)
        else:
            self.writes.submit_array(ref.digest, array, lambda: self._put(ref, array))
        return ref

    def _put(self, ref: ArrayRef, array: np.ndarray) -> None:
        folder = array_folder(ref.digest)
        if array.size and self.store.is_local and _intact(self.store, ref):
            self.store.touch(f"{folder}/{chunk_name(ref)}")  # in use again: not to be pruned
        else:
            self.store.write(f"{folder}/zarr.json", zarr_metadata(ref))
            if array.size:  # last, since the chunk alone tells whether the array is there
                self.store.write(f"{folder}/{chunk_name(ref)}", array.reshape(-1).view(np.uint8).data)

    def has(self, ref: ArrayRef) -> bool:
        """Tell whether an array is there and intact (its bytes are read and checked)."""
        if self.recent is not None and self.recent.was_checked(ref.digest):
            return True
        try:
            self.get(ref)
        except DamagedEntry:
            return False
        if self.recent is not None:
            self.recent.note_checked(ref.digest)
        return True

    def get(self, ref: ArrayRef) -> np.ndarray:
        """Read an array and check it.

        Raises
        ------
        DamagedEntry
            If it is missing or its bytes do not have the digest of its name.
        """
        if self.writes is not None and (array := self.writes.array(ref.digest)) is not None:
            array = array.view()
            array.flags.writeable = False
            return array
        try:
            return _read(self.store, ref)
        except DamagedEntry:
            if self.behind is None:
                raise
        return _read(self.behind, ref)

    def view(self, ref: ArrayRef, *, checked: bool = False) -> np.ndarray:
        """Return an array without reading it where it can be memory-mapped, unchecked there.

        From a bucket it is fetched and checked once in a process. Whoever takes rows from it checks
        those against their own digest, or has it `checked` here, once in a process.

        Raises
        ------
        DamagedEntry
            If it is missing or has another size than its address says.
        """
        for store in self.stores if np.prod(ref.shape) else []:
            if store.is_local:
                with contextlib.suppress(OSError, ValueError):
                    path = store.path(f"{array_folder(ref.digest)}/{chunk_name(ref)}")
                    mapped = np.memmap(path, dtype=ref.dtype, mode="r").reshape(ref.shape)
                    if not checked or checked_once(mapped, path, ref.digest):
                        return mapped
        if not np.prod(ref.shape) or protocol_of(self.store.url) == "memory":
            return self.get(ref)
        return fetched(f"{self.store.url} {ref.digest}", lambda: self.get(ref))

    def array(self, record: Record, name: str) -> np.ndarray:
        """Return the array called `name` of an entry, read-only.

        Raises
        ------
        DamagedEntry
            If it lies beside the entry, and is missing or has not its digest.
        """
        return record.inline[name] if name in record.inline else self.get(record.array(name))

    def mapped(self, record: Record, name: str) -> np.ndarray:
        """As `array`, memory-mapped where it can be, and checked once in a process.

        Raises
        ------
        DamagedEntry
            As `array`.
        """
        return record.inline[name] if name in record.inline else self.view(record.array(name), checked=True)

    # records

    def write_record(
        self, kind: Kind, key: str, body: dict[str, object], arrays: Mapping[str, np.ndarray] | None = None
    ) -> Record:
        """Commit an entry with its arrays; those that `body["arrays"]` names must have been put before."""
        inline, refs = {}, {}
        for name, array in (arrays or {}).items():
            if array.nbytes <= INLINE:
                inline[name] = plain(array)
                refs[name] = ArrayRef.of(inline[name]).to_json()
            else:
                refs[name] = self.put(array).to_json()
        record = Record(kind, key, {"arrays": refs, **body} if arrays else body, inline)
        if self.writes is None:
            self._commit(record)
        elif record.apart():
            self.writes.submit_last(lambda: self._commit(record))
        else:
            self.writes.submit(lambda: self._commit(record))
        self.note(record)
        return record

    def _commit(self, record: Record) -> None:
        self.store.write(record_path(record.key), record.to_bytes())

    def note(self, record: Record) -> None:
        """Keep an entry that a process of this run has just written."""
        if self.recent is not None:
            self.recent.note(record)

    def note_absent(self, key: str) -> None:
        """Note that just now there was no entry of a key: it is not looked for the next time."""
        if self.recent is not None:
            self.recent.note_absent(key)

    def read_record(self, key: str) -> Record | None:
        """Return the entry of a key, or None when there is none that can be trusted.

        Damage is logged as a warning; an entry of another scheme is ignored.
        """
        if self.recent is not None:
            if (known := self.recent.find(key)) is not None:
                return known
            if self.recent.was_absent(key):
                return None
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
                self.note(record)
                return record
        return None

    def find(self, key: str, kind: Kind) -> Record | None:
        """Return the entry of a key if it is of this kind and its arrays are all there and intact."""
        record = self.read_record(key)
        if record is None or record.kind != kind:
            return None
        for ref in record.apart().values():
            if not self.has(ref):
                log.warning("an array of cache entry %s is missing or damaged: computed again", key)
                return None
        return record

    def look_ahead(self, keys: Iterable[str]) -> None:
        """Read the entries of many keys at once, where they lie in a bucket and what is seen is kept."""
        recent = self.recent
        if recent is None or self.store.is_local:
            return

        def look(key: str) -> None:
            if self.read_record(key) is None:
                self.note_absent(key)

        wanted = [key for key in dict.fromkeys(keys) if recent.find(key) is None]
        at_once(self.store, look, wanted)


def array_folder(digest: str) -> str:
    """Return where an array lies in a cache."""
    return f"v{SCHEME}/arrays/{digest[:2]}/{digest}"


def record_path(key: str) -> str:
    """Return where an entry lies in a cache."""
    return f"v{SCHEME}/records/{key[:2]}/{key}.json"


def _read(store: Store, ref: ArrayRef) -> np.ndarray:
    """Read and check an array; from a bucket again if it is not what it should be: an answer may be garbled."""
    for _ in range(0 if store.is_local else AGAIN):
        try:
            return _read_once(store, ref)
        except MissingEntry:
            raise
        except DamagedEntry:
            continue
    return _read_once(store, ref)


def _read_once(store: Store, ref: ArrayRef) -> np.ndarray:
    try:
        data = store.read(f"{array_folder(ref.digest)}/{chunk_name(ref)}") if np.prod(ref.shape) else b""
    except FileNotFoundError:
        raise MissingEntry(f"array {ref.digest} is missing from {store.url}") from None
    try:
        return array_of(data, ref)
    except DamagedEntry as error:
        raise DamagedEntry(f"{store.url}: {error}") from None


def _intact(store: Store, ref: ArrayRef) -> bool:
    try:
        _read(store, ref)
    except DamagedEntry:
        return False
    return True


def chunk_name(ref: ArrayRef) -> str:
    """Return where an array's bytes lie in its folder; an array without values has none."""
    return "/".join(["c", *("0" for _ in ref.shape)])


def zarr_metadata(ref: ArrayRef) -> bytes:
    """Return what an array's zarr.json holds."""
    grid = {"name": "regular", "configuration": {"chunk_shape": [max(1, n) for n in ref.shape]}}
    return canonical_json(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(ref.shape),
            "data_type": DATA_TYPES[ref.dtype],
            "chunk_grid": grid,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": {},
        }
    )
