"""The fourth way in which an element that does not change comes into a result: it is referred to.

`Referenced` refers to the objects of a zarr, or to what an overlay refers to, so that no chain grows;
`ReferencedChunks` to the chunks in an h5ad file, and converts what cannot be.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cellstrata.tasks.elements.conversion import copy_element
from cellstrata.tasks.elements.opening import Root
from cellstrata.tasks.elements.storage_nodes import attrs_of
from cellstrata.tasks.overlays.document import INSIDE, Ref, Source
from cellstrata.tasks.overlays.hdf5_chunks import create_array, layout_of, refs_of
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.publishing.input_elements import METADATA, Converted, Untouched, refuse_lost
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.locations import overlap
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.requests import OBJECTS
from cellstrata.tasks.stores.states import ElementState, ZarrListing, file_state
from cellstrata.tasks.stores.store import Store, join


def is_metadata(key: str) -> bool:
    """Tell whether an object of a zarr holds metadata."""
    return key.rpartition("/")[2] in METADATA


class Referenced(Untouched):
    """Refers to objects of zarrs; metadata are taken over."""

    mode = "referenced"

    def __init__(self, source: Place, root: Root, staged: Path, target: Place) -> None:
        self.source, self.root, self.staged = source.store, root, Store(str(staged))
        self.zarr_format = root.metadata.zarr_format
        self.target = target
        self.refs: dict[str, Ref] = {}
        self._sources: dict[str, int] = {}  # number by URL
        self._states: list[dict[str, ElementState]] = []
        self._kinds: list[tuple[str, dict[str, object]]] = []
        self._listings: dict[int, ZarrListing] = {}
        overlay = root.store if isinstance(root.store, LinkedStore) else None
        self._texts: dict[str, bytes] = {}
        self._there: dict[str, Ref] = {}
        if overlay is None:
            self._take_zarr()
        else:
            self._take_overlay(overlay)
        self._keys = ZarrListing(dict.fromkeys([*self._texts, *self._there], (0, "")))

    def _take_zarr(self) -> None:
        number = self._number(self.source.url, "zarr")
        keys = self._listing(number).keys
        metadata = [key for key in keys if is_metadata(key)]
        with ThreadPoolExecutor(1 if self.source.is_local else OBJECTS) as pool:
            self._texts = dict(zip(metadata, pool.map(self.source.read, metadata), strict=True))
        self._there = {key: Ref(number, key) for key in keys if not is_metadata(key)}

    def _take_overlay(self, overlay: LinkedStore) -> None:
        listings, document = overlay.check_all(), overlay.references
        numbers = {
            number: self._number(source.url, source.kind, dict(source.state))
            for number, source in enumerate(document.sources)
        }
        numbers |= {number: self._number(document.source_url(number), "zarr") for number in INSIDE}
        self._listings |= {numbers[number]: listing for number, listing in listings.items()}
        self._texts = {key: text.encode() for key, text in document.inline.items()}
        self._there = {
            key: Ref(numbers[ref.source], ref.key, ref.offset, ref.length) for key, ref in document.all_refs()
        }

    @property
    def sources(self) -> list[Source]:
        """What is referred to, with the state of each."""
        named = zip(self._sources, self._kinds, self._states, strict=True)  # all, since references number them
        return [Source(url, kind, state, elements) for url, (kind, state), elements in named]

    def children(self, path: str = "") -> list[str]:
        """Return the names directly below a group, as the store has them."""
        found = self._keys.children(path)
        refuse_lost(self.root, found, self.source.url, path)
        return found

    def attrs(self, path: str = "") -> dict[str, object]:
        """Return the attributes of a group."""
        return attrs_of(self.root[path] if path else self.root)

    def place_links(self, path: str) -> bool:
        """Refer to where the links of a linked result lead; False if there is none at or in `path`."""
        here = self.source.path(path)
        if not self.source.is_local or not os.path.isdir(here):
            return False
        real_place = os.path.realpath(here)
        if real_place == os.path.join(os.path.realpath(self.source.root), path):
            return False
        if not real_place.endswith(f"/{path}"):
            return False
        number = self._number(real_place[: -len(path) - 1], "zarr")
        for key in self._keys.below(path):
            if not is_metadata(key):
                self._there[key] = Ref(number, key)
        return True

    def place_at(self, path: str) -> None:
        """Take metadata over, and refer to everything else."""
        used: set[int] = set()
        for key in self._keys.below(path):
            if key in self._texts:
                self.staged.write(key, self._texts[key])
                continue
            ref = self.refs[key] = self._there[key]
            used.add(ref.source)
        for number in used:
            if self._kinds[number][0] != "h5ad":
                self._states[number][path] = self._listing(number).state(path)
        self.linked += 1

    def place(self, path: str) -> None:
        """Refer to one element, or where it holds links to each of its children."""
        group = self.source.is_local and not self.place_links(path) and self._holds_links(path)
        if not group:
            self.place_at(path)
            return
        for name in METADATA:
            if f"{path}/{name}" in self._texts:
                self.staged.write(f"{path}/{name}", self._texts[f"{path}/{name}"])
        for name in self.children(path):
            self.place(f"{path}/{name}")

    def _holds_links(self, path: str) -> bool:
        folder = self.source.path(path)
        return os.path.isdir(folder) and any(entry.is_symlink() for entry in os.scandir(folder))

    def _number(self, url: str, kind: str, state: dict[str, object] | None = None) -> int:
        if url not in self._sources:
            if overlap(url, self.target.url):
                message = f"is replaced, but the input refers to {url}; choose another output_dir"
                raise OutputError(self.target.url, "", message)
            self._sources[url] = len(self._sources)
            self._states.append({})
            self._kinds.append((kind, state or {}))
        return self._sources[url]

    def _listing(self, number: int) -> ZarrListing:
        if number not in self._listings:
            self._listings[number] = ZarrListing.of(self.target.at(list(self._sources)[number]).store)
        return self._listings[number]


class ReferencedChunks(Converted):
    """Refers to the chunks of an h5ad file, and converts what cannot be referred to."""

    mode = "referenced"

    def __init__(self, source: Store, root: Root, staged: Path) -> None:
        super().__init__(root, staged)
        state = file_state(source)
        self.refs: dict[str, Ref] = {}
        self.sources = [Source(source.url, "h5ad", state)]
        self._size = int(state["size"])

    def copy(self, source: Any, parent: Any, name: str) -> None:
        """Copy the structure of an element, referring to its numbers."""
        copy_element(source, parent, name, self._refer)

    def _refer(self, node: Any, parent: Any, name: str, attrs: dict[str, Any]) -> bool:
        layout = layout_of(node, self._size)
        if layout is None:
            return False
        array = create_array(parent, name, node, layout, attrs)
        for rows in layout.padded.values():
            array[rows] = node[rows]
        refs = refs_of(layout, join(parent.path, name).lstrip("/"), 0)
        self.refs |= refs
        self.linked += bool(refs)
        return True


def read_refs(sources: Iterable[Source], refs: dict[str, Ref], target: Place) -> dict[str, bytes]:
    """Read what some references of a result at `target` name, whole, several at a time."""
    stores = [target.at(source.url).store for source in sources]

    def read(ref: Ref) -> bytes:
        store = stores[ref.source]
        if ref.offset is None or ref.length is None:
            return store.read(ref.key)
        with store.open(ref.key) as file:
            file.seek(ref.offset)
            return file.read(ref.length)

    with ThreadPoolExecutor(OBJECTS) as pool:
        return dict(zip(refs, pool.map(read, refs.values()), strict=True))
