"""The document of an overlay, `references.json`: its metadata, and where the bytes of each object lie.

It is a kerchunk reference document of version 1, which fsspec's `reference://` reads: all metadata
stand in it, and each chunk is a URL, or a part of what lies at one (offset, length). The block
`cellstrata` says what was referred to, and in which state it was. With very many references those to
sources stand in sorted shards, parquet files beside the result's own elements; such a document has a
version of ours, so that no other reader takes chunks for missing.
"""

from __future__ import annotations

import bisect
import io
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cachetools import LRUCache

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.overlays.allowed_sources import leads_out
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.states import ElementState
from cellstrata.tasks.stores.store import Store, is_local, join, local_path

DOCUMENT = "references.json"
MADE_BY = "cellstrata"
SCHEME = 1
OWN, CONVERTED = -1, -2  # the numbers of what lies in the result itself
INSIDE = {OWN: "new.zarr", CONVERTED: "converted"}  # the folder with the own elements
OWN_PREFIX = re.compile(r"own~[0-9a-f]{32}")
MOST_IN_DOCUMENT = 50_000
IN_A_SHARD = 50_000
SHARDS_KEPT = 4
SHARDED = "cellstrata-sharded-1"


@dataclass(frozen=True)
class Ref:
    """Where the bytes of an object lie: in which source, at which key in it, and at which part of that."""

    source: int
    key: str
    offset: int | None = None
    length: int | None = None


@dataclass(frozen=True)
class Source:
    """A zarr or an h5ad file that is referred to, and its state then: of the file, or of each element."""

    url: str
    kind: str
    state: Mapping[str, Any] = field(default_factory=dict)
    elements: Mapping[str, ElementState] = field(default_factory=dict)


@dataclass(frozen=True)
class Shard:
    """A parquet file of references, sorted by key: its path in the result, and its first key."""

    path: str
    first: str
    count: int


@dataclass
class References:
    """An overlay at `url`: metadata texts by key, references by key, what they refer to.

    `own` is the name of the folder with what lies in the result itself: the new elements, a zarr, and
    objects of the input that had to be converted. `supersedes` is that of the result before, which
    readers may still be reading.
    """

    url: str
    own: str
    created: str
    inline: dict[str, str] = field(default_factory=dict)
    refs: dict[str, Ref] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    supersedes: str | None = None
    shards: list[Shard] = field(default_factory=list)
    place: Store | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shards: LRUCache[int, dict[str, Ref]] = field(default_factory=lambda: LRUCache(SHARDS_KEPT))

    def find(self, key: str) -> Ref | None:
        """Return where an object lies that is no metadata, None where the array has no such chunk."""
        ref = self.refs.get(key)
        if ref is not None or not self.shards:
            return ref
        number = bisect.bisect_right([shard.first for shard in self.shards], key) - 1
        if number < 0:
            return None
        return self._shard_refs(number).get(key)

    def all_refs(self) -> Iterator[tuple[str, Ref]]:
        """Yield all references by key."""
        yield from self.refs.items()
        for number in range(len(self.shards)):
            yield from self._shard_refs(number).items()

    def source_url(self, number: int) -> str:
        """Return the URL of a source."""
        return join(self.url, self.own, INSIDE[number]) if number < 0 else self.sources[number].url

    def _shard_refs(self, number: int) -> dict[str, Ref]:
        with self._lock:  # one shard is read once
            if number not in self._shards:
                assert self.place is not None
                path = self.shards[number].path
                try:
                    self._shards[number] = _from_parquet(self.place.read(path))
                except ValueError as error:
                    message = f"is damaged ({error}); run again to write it anew"
                    raise InputError(self.place.url, path, message) from error
            return self._shards[number]

    def files(self) -> dict[str, bytes]:
        """Return what is to be written, by path in the result; the document is the last."""
        files: dict[str, bytes] = {}
        refs, shards = self.refs, []
        if len(refs) > MOST_IN_DOCUMENT:
            referred = sorted((key, ref) for key, ref in refs.items() if ref.source >= 0)
            refs = {key: ref for key, ref in refs.items() if ref.source < 0}
            for start in range(0, len(referred), IN_A_SHARD):
                part = referred[start : start + IN_A_SHARD]
                path = f"{self.own}/references/{start // IN_A_SHARD:05d}.parquet"
                shards.append(Shard(path, part[0][0], len(part)))
                files[path] = _to_parquet(part)
        block = {
            "scheme": SCHEME,
            "made_by": MADE_BY,
            "created": self.created,
            "own": self.own,
            "supersedes": self.supersedes,
            "sources": [_source_json(source) for source in self.sources],
            "shards": [asdict(shard) for shard in shards],
        }
        document = {
            "version": SHARDED if shards else 1,
            "templates": {_name(number): _with_protocol(self.source_url(number)) for number in self._numbers()},
            "refs": {**self.inline, **{key: self._written(ref) for key, ref in refs.items()}},
            "cellstrata": block,
        }
        files[DOCUMENT] = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return files

    def _numbers(self) -> list[int]:
        return [*INSIDE, *range(len(self.sources))]

    def _written(self, ref: Ref) -> list[object]:
        template = f"{{{{{_name(ref.source)}}}}}"
        if set(ref.key) & set("{}"):  # which a template cannot hold
            template = _with_protocol(self.source_url(ref.source))
        url = f"{template}/{ref.key}" if ref.key else template
        return [url] if ref.offset is None else [url, ref.offset, ref.length]


def parse_references(raw: bytes, place: Store) -> References:
    """Read the document of the overlay at `place`; its own elements are looked for there, wherever it was written.

    Raises
    ------
    InputError
        If it is none of ours, of another scheme, or damaged.
    """
    try:
        document = json.loads(raw)
        block = document.get("cellstrata")
        if not isinstance(block, dict) or block.get("made_by") != MADE_BY:
            raise InputError(place.url, DOCUMENT, "was not made by cellstrata; open it with fsspec's `reference://`")
        if block["scheme"] != SCHEME or document["version"] not in (1, SHARDED):
            raise InputError(place.url, DOCUMENT, f"is of scheme {block['scheme']}, this version reads {SCHEME}")
        if not OWN_PREFIX.fullmatch(block["own"]):
            raise ValueError(f"own: {block['own']!r}")
        found = References(
            place.url, block["own"], block["created"], supersedes=block["supersedes"], place=place,
            sources=[_source(entry) for entry in block["sources"]],
            shards=[Shard(**shard) for shard in block["shards"]],
        )  # fmt: skip
        prefixes = [(number, f"{{{{{_name(number)}}}}}") for number in found._numbers()]
        prefixes += [(number, document["templates"][_name(number)]) for number in found._numbers()]
        for key, value in document["refs"].items():
            if leads_out(key):
                raise ValueError(f"the key {key!r} leads out of the result")
            if isinstance(value, str):
                found.inline[key] = value
            else:
                found.refs[key] = _parsed(value, prefixes)
    except InputError:
        raise
    except Exception as error:
        message = f"is damaged ({type(error).__name__}: {error}); run again to write it anew"
        raise InputError(place.url, DOCUMENT, message) from error
    return found


def read_references(place: Store) -> References:
    """Read the document of the overlay at a place; raises InputError as `parse_references`, or if there is none."""
    try:
        raw = place.read(DOCUMENT)
    except FileNotFoundError as error:
        raise InputError(place.url, DOCUMENT, "has gone; run again to write the result anew") from error
    return parse_references(raw, place)


def has_document(place: Store) -> bool:
    """Tell whether a document of references stands at a place, ours or not."""
    return place.is_file(DOCUMENT)


def _name(number: int) -> str:
    return {OWN: "own", CONVERTED: "converted"}.get(number, f"s{number}")


def _with_protocol(url: str) -> str:
    return f"file://{local_path(url)}" if is_local(url) else url


def _parsed(value: list[Any], prefixes: list[tuple[int, str]]) -> Ref:
    url, *part = value
    for number, prefix in prefixes:
        if url == prefix or url.startswith(f"{prefix}/"):
            offset, length = map(int, part) if part else (None, None)
            return _checked(Ref(number, url[len(prefix) + 1 :], offset, length))
    raise ValueError(f"{url} lies in no source")


def _checked(ref: Ref) -> Ref:
    if leads_out(ref.key):
        raise ValueError(f"the key {ref.key!r} leads out of its source")
    if ref.offset is not None and (ref.offset < 0 or (ref.length or 0) < 0):
        raise ValueError(f"a part from {ref.offset} of {ref.length} bytes")
    return ref


def _source_json(source: Source) -> dict[str, object]:
    elements = {path: asdict(state) for path, state in source.elements.items()}
    return {"url": source.url, "kind": source.kind, **source.state, **({"elements": elements} if elements else {})}


def _source(entry: dict[str, Any]) -> Source:
    known = {"url", "kind", "elements"}
    elements = {path: ElementState(**state) for path, state in entry.get("elements", {}).items()}
    state = {name: value for name, value in entry.items() if name not in known}
    return Source(entry["url"], entry["kind"], state, elements)


def _to_parquet(refs: list[tuple[str, Ref]]) -> bytes:
    with IMPORTING:
        import pyarrow as pa
        import pyarrow.parquet as pq

    columns = {
        "key": pa.array([key for key, _ in refs], pa.string()),
        "source": pa.array([ref.source for _, ref in refs], pa.int32()),
        "path": pa.array([ref.key for _, ref in refs], pa.string()),
        "offset": pa.array([ref.offset for _, ref in refs], pa.int64()),
        "length": pa.array([ref.length for _, ref in refs], pa.int64()),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _from_parquet(raw: bytes) -> dict[str, Ref]:
    with IMPORTING:
        import pyarrow.parquet as pq

    columns = pq.read_table(io.BytesIO(raw)).to_pydict()
    rows = zip(*(columns[name] for name in ("key", "source", "path", "offset", "length")), strict=True)
    return {key: _checked(Ref(*row)) for key, *row in rows}
