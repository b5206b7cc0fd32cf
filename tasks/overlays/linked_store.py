"""The zarr store of an overlay: metadata from its document, chunks from wherever they lie.

What a result refers to may change or go, and a zarr reader takes a chunk that is not there for one
full of fill values. So each element is compared with its recorded state when it is first read, and
whatever is referred to and cannot be had is an error that says what happened to which source.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from cachetools import LRUCache
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from cellstrata.tasks.overlays.allowed_sources import options_at, refusal
from cellstrata.tasks.overlays.document import DOCUMENT, INSIDE, Ref, References, read_references
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.requests import OBJECTS
from cellstrata.tasks.stores.states import WITH_TIMES, ElementState, ZarrListing, file_state

BLOCK = 1 << 22  # bytes; smaller parts of a file are read a block at a time
BLOCKS_KEPT = 16


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(OBJECTS, thread_name_prefix="cellstrata-references")


class LinkedStore(ZarrStore):
    """A read-only zarr store over the overlay at `place`.

    The options of the place, by protocol, are also those of the sources. Raises InputError where the document
    is missing or damaged, and, when an element is read, where its source is not what it was.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(read_only=True)
        self.place = place
        self.references: References = read_references(place.store)
        numbers = [*range(len(self.references.sources)), *INSIDE]
        self.stores = {n: self._source_place(n).store for n in numbers}
        self._lock = threading.Lock()
        self._checked: dict[tuple[int, str], Future[None]] = {}
        self._blocks: LRUCache[tuple[int, int], Future[bytes]] = LRUCache(BLOCKS_KEPT)

    def _source_place(self, number: int) -> Place:
        url = self.references.source_url(number)
        if (why := refusal(url, self.place)) is not None and number not in INSIDE:
            raise InputError(self.place.url, "", f"refers to {url}, which {why}")
        return Place(url, self.place.options if number in INSIDE else options_at(url, self.place))

    def look_again(self) -> None:
        """Compare each element with its recorded state once more, when it is next read."""
        with self._lock:
            self._checked.clear()

    def __getstate__(self) -> dict[str, object]:
        return {"place": self.place}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["place"])  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinkedStore) and other.place == self.place

    def __hash__(self) -> int:
        return hash(self.place.url)

    def __str__(self) -> str:
        return self.place.url

    def __repr__(self) -> str:
        return f"LinkedStore({self.place.url!r})"

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """Return the bytes of an object, or those from `start` to `end`; None if the zarr has no such object.

        Raises
        ------
        InputError
            If its source has changed or gone.
        """
        text = self.references.inline.get(key)
        if text is not None:
            return text.encode()[slice(start, end)]
        ref = self.references.find(key)
        if ref is None:
            return None
        self.check(key, ref.source)
        return self.read_ref(key, ref, start, end)

    def read_ref(self, key: str, ref: Ref, start: int | None = None, end: int | None = None) -> bytes:
        """Return what a reference names, without a look at the state of its source; raises InputError if it is gone."""
        try:
            if ref.offset is not None and ref.length is not None:
                data = self._part(ref.source, ref.offset, ref.length)
                if len(data) != ref.length:
                    raise FileNotFoundError
                return data[slice(start, end)]
            store = self.stores[ref.source]
            if start is None and end is None:
                return store.read(ref.key)
            part: bytes = store.fs.cat_file(store.path(ref.key), start=start, end=end)
            return part
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._gone(key, ref) from error

    def check(self, key: str, source: int) -> None:
        """Compare the element that holds `key` with its recorded state, once; raises InputError if it differs."""
        if source in INSIDE:
            return
        said = self.references.sources[source]
        parts = key.split("/")
        element = next((p for n in range(len(parts)) if (p := "/".join(parts[: n + 1])) in said.elements), "")
        with self._lock:
            known = self._checked.get((source, element))
            mine = known is None
            known = self._checked.setdefault((source, element), Future())
        if mine:
            try:
                problem = self._difference(source, element)
                if problem is not None:
                    raise problem
                known.set_result(None)
            except BaseException as error:
                known.set_exception(error)
                if not isinstance(error, InputError):  # the store may answer the next time
                    with self._lock:
                        self._checked.pop((source, element), None)
        known.result()

    def check_all(self) -> dict[int, ZarrListing]:
        """Compare everything that is referred to with its state, and return the listings of the zarrs among it.

        Raises
        ------
        InputError
            With all that has changed or gone.
        """
        listings, problems = {}, []
        for number, source in enumerate(self.references.sources):
            if source.kind == "h5ad":
                problems += [problem] if (problem := self._difference(number, "")) else []
                continue
            listing = listings[number] = ZarrListing.of(self.stores[number])
            for path, then in source.elements.items():
                if listing.state(path) != then:
                    problems.append(self._changed(number, path, then, listing.state(path)))
        if problems:
            raise InputError("", "", "\n".join(map(str, problems[:9])))
        return listings

    def _difference(self, number: int, element: str) -> InputError | None:
        source, store = self.references.sources[number], self.stores[number]
        if source.kind != "h5ad":
            now = ZarrListing.of(store, element).state(element)
            return (
                None
                if now == source.elements[element]
                else self._changed(number, element, source.elements[element], now)
            )
        try:
            state = file_state(store)
        except FileNotFoundError:
            return self._changed(number, "", source.state, None)
        return None if state == dict(source.state) else self._changed(number, "", source.state, state)

    def _changed(self, number: int, path: str, then: Any, now: Any) -> InputError:
        source = self.references.sources[number].url
        gone = now is None or (isinstance(now, ElementState) and not now.objects)
        if isinstance(then, ElementState):
            was, is_now = f"{then}, digest {then.digest[:8]}", f"{now}, digest {now.digest[:8]}"
        else:
            was, is_now = (", ".join(f"{k} {v}" for k, v in (state or {}).items()) for state in (then, now))
        what = f"has gone (it was {was})" if gone else f"has changed since: it was {was}, and is {is_now}"
        of = f"{path} of {source}" if path else source
        how = f"restore it {WITH_TIMES}" if self.stores[number].is_local else "restore it"
        message = f"refers to {of}, which {what}; {how}, or run again to make the result from what is there now"
        return InputError(self.place.url, "", message)

    def _gone(self, key: str, ref: Ref) -> InputError:
        url = self.stores[ref.source].url
        what = f"refers to {ref.key} of {url}" if ref.key else f"refers to a part of {url}"
        return InputError(
            self.place.url, key, f"{what}, which has gone; restore it, or run again to write the result anew"
        )

    def _part(self, source: int, offset: int, length: int) -> bytes:
        """Read a part of a file; small parts lie close to one another, so what is around them is kept for a while."""
        store = self.stores[source]
        if store.is_local:
            with open(store.root, "rb") as file:
                file.seek(offset)
                return file.read(length)
        if length >= BLOCK:
            data: bytes = store.fs.cat_file(store.root, start=offset, end=offset + length)
            return data
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        data = b"".join(self._block(source, number) for number in range(first, last + 1))
        return data[offset - first * BLOCK :][:length]

    def _block(self, source: int, number: int) -> bytes:
        key = (source, number)
        with self._lock:
            mine = key not in self._blocks
            block = self._blocks.setdefault(key, Future())
        if mine:
            store, size = self.stores[source], int(self.references.sources[source].state["size"])
            try:
                end = min((number + 1) * BLOCK, size)
                block.set_result(store.fs.cat_file(store.root, start=number * BLOCK, end=end))
            except BaseException as error:
                with self._lock:
                    self._blocks.pop(key, None)
                block.set_exception(error)
        return block.result()

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object's bytes, as zarr asks for them."""
        start, end = _bounds(byte_range)
        if key in self.references.inline:
            data = self.read(key, start, end)
        else:
            data = await asyncio.get_running_loop().run_in_executor(_pool(), self.read, key, start, end)
        return None if data is None else (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of several objects."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether the zarr has an object."""
        return key in self.references.inline or self.references.find(key) is not None

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse to write."""
        self._check_writable()

    async def delete(self, key: str) -> None:
        """Refuse to delete."""
        self._check_writable()

    def keys(self) -> Iterable[str]:
        """Return the keys of all objects."""
        yield from self.references.inline
        for key, _ in self.references.all_refs():
            yield key

    async def list(self) -> AsyncIterator[str]:
        """Yield the keys of all objects."""
        for key in self.keys():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with a prefix."""
        for key in self.keys():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a folder; every folder has metadata, so these are asked alone."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        names = (key[len(below) :].partition("/")[0] for key in self.references.inline if key.startswith(below))
        for name in dict.fromkeys(names):
            yield name


def overlay_marks(store: LinkedStore, elements: Iterable[str]) -> list[list[object]] | None:
    """Return what the stores say now of what some elements of an overlay refer to; None where that is too little.

    Files on a local disk may have changed within a clock's tick, so of these nothing is said.
    """
    if store.place.is_local or any(source.is_local for source in store.stores.values()):
        return None
    marks: list[list[object]] = [["", file_state(store.place.below(DOCUMENT).store)]]
    for element in sorted(elements):
        refs = [ref for key, ref in store.references.all_refs() if key.startswith(f"{element}/")]
        for number in sorted({ref.source for ref in refs} - set(INSIDE)):
            source = store.stores[number]
            whole = store.references.sources[number].kind == "h5ad"
            marks.append(
                [source.url, file_state(source) if whole else asdict(ZarrListing.of(source, element).state(element))]
            )
    return marks


def _bounds(part: ByteRequest | None) -> tuple[int | None, int | None]:
    if isinstance(part, RangeByteRequest):
        return part.start, part.end
    if isinstance(part, OffsetByteRequest):
        return part.offset, None
    return (-part.suffix, None) if isinstance(part, SuffixByteRequest) else (None, None)
