"""Copying out of an overlay: what it refers to becomes objects of the copy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cellstrata.tasks.elements.opening import Root
from cellstrata.tasks.elements.storage_nodes import attrs_of
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.publishing.input_elements import Untouched, copy_object
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.requests import OBJECTS
from cellstrata.tasks.stores.states import ZarrListing
from cellstrata.tasks.stores.store import Store


class Resolved(Untouched):
    """Copies what an overlay holds and refers to: metadata at once, chunks with `finish`."""

    mode = "copied"

    def __init__(self, overlay: LinkedStore, root: Root, staged: Path) -> None:
        overlay.check_all()
        self.overlay, self.root, self.staged = overlay, root, Store(str(staged))
        self.zarr_format = root.metadata.zarr_format
        self._keys = ZarrListing(dict.fromkeys(overlay.keys(), (0, "")))
        self._later: list[str] = []

    def children(self, path: str = "") -> list[str]:
        """Return the names directly below a group."""
        return self._keys.children(path)

    def attrs(self, path: str = "") -> dict[str, object]:
        """Return the attributes of a group."""
        return attrs_of(self.root[path] if path else self.root)

    def place(self, path: str) -> None:
        """Write the metadata of an element, and put its chunks off."""
        for key in self._keys.below(path):
            text = self.overlay.references.inline.get(key)
            if text is None:
                self._later.append(key)
            else:
                self.staged.write(key, text.encode())

    def finish(self, target: Store) -> int:
        """Copy the chunks that were put off to the same keys of a store; return their bytes."""
        keys, self._later = self._later, []
        return copy_resolved(self.overlay, keys, target)

    @property
    def pending(self) -> list[str]:
        """The keys that `finish` will copy."""
        return list(self._later)


def copy_resolved(overlay: LinkedStore, keys: list[str], target: Store) -> int:
    """Copy objects of an overlay to the same keys of a store, several at a time; return the bytes.

    Raises
    ------
    InputError
        If one is gone.
    """

    def copy(key: str) -> int:
        ref = overlay.references.find(key)
        if ref is not None and ref.offset is None and ref.key == key:  # whole, so the store may do it
            try:
                return copy_object(overlay.stores[ref.source], key, target)
            except FileNotFoundError:
                pass  # what is missing, reading says
        data = overlay.read(key)
        if data is None:
            raise InputError(overlay.place.url, key, "is missing; run again to write the result anew")
        target.write(key, data)
        return len(data)

    with ThreadPoolExecutor(OBJECTS) as pool:
        return sum(pool.map(copy, keys))
