"""The three ways in which an element that does not change comes into a result.

`Linked`: a relative symbolic link. `Copied`: the objects of a zarr as they are, nothing decoded.
`Converted`: from HDF5 (or a zarr that cannot be listed), or shared with an older result.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import zarr

from cellstrata.tasks.elements.conversion import ZARR_FORMAT, copy_element, encoding_of, group_attrs, write_old
from cellstrata.tasks.elements.hdf5_filters import check_filters
from cellstrata.tasks.elements.kinds import shortly
from cellstrata.tasks.elements.legacy import moved_graphs, old_children
from cellstrata.tasks.elements.opening import Root
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.storage_nodes import attrs_of
from cellstrata.tasks.publishing import links as link
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.data_errors import OutputError as OutputError
from cellstrata.tasks.stores.locations import Location
from cellstrata.tasks.stores.requests import OBJECTS
from cellstrata.tasks.stores.states import ZarrListing
from cellstrata.tasks.stores.store import Store

# The root's own come last when a result is uploaded: without them there is no store to read.
METADATA = (".zattrs", ".zmetadata", ".zgroup", ".zarray", "zarr.json")

COPY_THEMSELVES = ("s3", "gs", "gcs", "abfs", "az", "memory")  # file systems whose stores copy without sending


def copy_objects(source: Store, keys: Iterable[str], target: Store) -> int:
    """Copy objects to the same keys of another store, several at a time; return the bytes copied."""
    if source.is_local and target.is_local:
        return sum(source.copy_to(key, target) for key in keys)
    with ThreadPoolExecutor(OBJECTS) as pool:
        return sum(pool.map(lambda key: copy_object(source, key, target), keys))


def copy_object(source: Store, key: str, target: Store) -> int:
    """Copy an object to the same key of another store, within the bucket's own service where that can be."""
    if source.is_local or _service(source) is not _service(target) or target.fs.protocol[0] not in COPY_THEMSELVES:
        return source.copy_to(key, target)
    size = int(source.fs.size(source.path(key)))
    target.fs.cp_file(source.path(key), target.path(key))
    return size


def _service(store: Store) -> Any:
    """The file system of a bucket below what tries again: fsspec makes one for the same options."""
    return getattr(store.fs, "_fs", store.fs)


class Untouched(ABC):
    """Brings elements of an input into a staged result; paths are `slot` or `slot/name`."""

    mode: str
    zarr_format: int
    linked = 0

    @abstractmethod
    def children(self, path: str = "") -> list[str]:
        """Return the names directly below a group of the input."""

    @abstractmethod
    def attrs(self, path: str = "") -> dict[str, Any]:
        """Return the attributes that a group of the input has, or ought to have."""

    @abstractmethod
    def place(self, path: str) -> None:
        """Bring one element, with all below it, to the same path in the staged folder."""

    def finish(self, target: Store) -> int:
        """Copy what was put off to where the result will stand; return its bytes."""
        return 0

    def record(self) -> dict[str, object]:
        """Return what the result should say of what it depends on."""
        return {}


def refuse_lost(root: Root, found: list[str], url: str, path: str) -> None:
    """Raise InputError if a store does not list all that a group has: nothing may be missing without a word."""
    if lost := set(root[path] if path else root) - set(found):
        raise InputError(url, path, f"cannot be listed ({', '.join(sorted(lost))}); copy it to a local disk")


class _Zarr(Untouched):
    def __init__(self, source: Store, root: Root, staged: Path) -> None:
        self.source, self.root, self.staged = source, root, Store(str(staged))
        self.zarr_format = root.metadata.zarr_format

    def children(self, path: str = "") -> list[str]:
        # Names in the store, not members of the group: zarr does not list a folder without metadata.
        names = self.source.list(path)
        below = f"{path}/" if path else ""
        found = [n for n in names if n not in METADATA and not self.source.is_file(below + n)]
        if self.source.is_local:
            return found
        refuse_lost(self.root, found, self.source.url, path)
        return found

    def attrs(self, path: str = "") -> dict[str, object]:
        if path and path not in self.root:
            take_own(self.root, path)  # a slot that was added after the metadata were consolidated
        return attrs_of(self.root[path] if path else self.root)


class Copied(_Zarr):
    """Copies objects: metadata at once, so that they can be consolidated, chunks with `finish`."""

    mode = "copied"

    def __init__(self, source: Store, root: Root, staged: Path) -> None:
        super().__init__(source, root, staged)
        self._later: list[str] = []

    def place(self, path: str) -> None:
        keys = list(self.source.walk(path))
        if not keys and path in self.root:  # else the empty shell of a folder
            raise InputError(self.source.url, path, "holds no objects; copy the input to a local disk")
        now = [key for key in keys if key.rsplit("/", 1)[-1] in METADATA]
        copy_objects(self.source, now, self.staged)
        self._later += sorted(set(keys) - set(now))

    def finish(self, target: Store) -> int:
        keys, self._later = self._later, []
        return copy_objects(self.source, keys, target)

    @property
    def pending(self) -> list[str]:
        """The keys that `finish` will copy."""
        return list(self._later)


class Linked(_Zarr):
    """Links folders, each to the real one behind all links; copies where the disk knows no links."""

    mode = "linked"

    def __init__(self, source: Store, root: Root, staged: Path, *, final: Path) -> None:
        super().__init__(source, root, staged)
        self.final = Location.of(str(final))
        self._copied = Copied(source, root, staged)
        self._states: dict[str, object] = {}

    def place(self, path: str) -> None:
        here = self.source.path(path)
        real = os.path.realpath(here)
        if not os.path.isdir(real):
            raise InputError(self.source.url, path, f"is a link to {real}, which is gone; restore it")
        if Location.of(real).within(self.final):
            message = f"is replaced, but the input links to {path} in it; choose another output_dir"
            raise OutputError(self.final.stands, "", message)
        staged = self.staged.path(path)
        if not os.path.islink(here) and link.has_links(real):
            # A result of ours as input: link to what its links mean, so that no chain grows.
            os.mkdir(staged)
            own = [name for name in self.source.list(path) if name in METADATA]
            copy_objects(self.source, [f"{path}/{name}" for name in own], self.staged)
            for name in self.children(path):
                self.place(f"{path}/{name}")
        elif link.symlink(real, staged, os.path.join(self.final.stands, path)):
            self.linked += 1
            self._states[path] = asdict(ZarrListing.of(Store(real)).state(""))
        else:
            self._copied.place(path)

    def record(self) -> dict[str, object]:
        """Return the state of what is linked, by element."""
        return {"links": self._states}

    def finish(self, target: Store) -> int:
        return self._copied.finish(target)


class Converted(Untouched):
    """Streams elements into zarr, or takes them over from an older result made from the same input.

    `written` names by slot what that older result holds of its own, and not of the input.
    """

    mode = "converted"
    zarr_format = ZARR_FORMAT

    def __init__(
        self,
        root: Root,
        staged: Path,
        older: Path | None = None,
        written: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.root, self.staged = root, staged
        self.older, self.written = older, written or {}
        self.moved = moved_graphs(root)
        if isinstance(root, zarr.Group):
            self.zarr_format = root.metadata.zarr_format

    @cached_property
    def _target(self) -> Any:
        return zarr.open_group(StagedStore(self.staged), mode="r+", use_consolidated=False)

    def children(self, path: str = "") -> list[str]:
        names = old_children(self.root, path)
        if not names and (not path or path in self.root):
            names = [str(key) for key in (self.root[path] if path else self.root)]
        moved = [to.removeprefix("obsp/") for to in self.moved] if path == "obsp" else []
        slot = ["obsp"] if self.moved and not path else []
        gone = {source.rpartition("/")[2] for source in self.moved.values()} if path == "uns/neighbors" else set()
        return [name for name in dict.fromkeys([*names, *moved, *slot]) if name not in gone]

    def attrs(self, path: str = "") -> dict[str, object]:
        if path and (path not in self.root or old_children(self.root, path)):
            return encoding_of("dict")
        return group_attrs(self.root[path] if path else self.root, path)

    def place(self, path: str) -> None:
        slot, _, name = path.partition("/")
        older_has_own = self.older is not None and self.written.get(slot)
        if self._shared(path, self.written.get(slot, [])):
            self.linked += 1
        elif (older_has_own and not name) or (self.moved and path in ("obsp", "uns/neighbors")):
            self._target.create_group(path, attributes=self.attrs(path))
            for child in self.children(path):
                self.place(f"{path}/{child}")
        elif not write_old(self.root, path, self._target):
            parent, _, name = path.rpartition("/")
            source = self.root[self.moved.get(path, path)]
            if isinstance(source, h5py.HLObject):
                check_filters(str(source.file.filename), path, source)
            try:
                self.copy(source, self._target[parent] if parent else self._target, name)
            except OSError as error:
                if error.errno is not None or not isinstance(source, h5py.HLObject):  # of a disk, not of HDF5
                    raise
                message = f"cannot be read ({shortly(error)}); check it, or write it again"
                raise InputError(source.file.filename, path, message) from error

    def copy(self, source: Any, parent: Any, name: str) -> None:
        """Copy one element into a group of the result."""
        copy_element(source, parent, name)

    def _shared(self, path: str, own: list[str]) -> bool:
        name = path.partition("/")[2]
        if self.older is None or (own and not name) or name in own:
            return False
        source = str(self.older / path)
        if os.path.islink(source) or not os.path.isdir(source):
            return False
        link.hardlink_tree(source, str(self.staged / path))
        return True
