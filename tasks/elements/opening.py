"""Opening an AnnData file, h5ad or zarr, wherever it lies, for reading alone."""

from __future__ import annotations

import contextlib
import errno
import threading
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import h5py
import zarr
from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore, ZipStore

from cellstrata.tasks.elements import kinds
from cellstrata.tasks.elements.consolidated import open_complete
from cellstrata.tasks.elements.hdf5_filters import know_filters
from cellstrata.tasks.elements.hdf5_outside import check_inside
from cellstrata.tasks.elements.kinds import Kind, Look, unusable_store, vanished
from cellstrata.tasks.elements.kinds import kind_of as kind_of
from cellstrata.tasks.elements.kinds import reading as reading
from cellstrata.tasks.elements.other_formats import other_folder, other_format
from cellstrata.tasks.elements.own_metadata import BucketStore
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import close_remote, open_remote
from cellstrata.tasks.elements.zip_entries import check_entries
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.stores.data_errors import DataError as DataError
from cellstrata.tasks.stores.data_errors import InputError as InputError
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.stores.garbage_pause import uncollected
from cellstrata.tasks.stores.identity import identity, identity_from
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.requests import CONNECTIONS
from cellstrata.tasks.stores.store import Store, join, protocol_of
from cellstrata.tasks.stores.urls import file_of

# An h5py.Group or a zarr.Group; what lies in one neither library can type.
Root: TypeAlias = Any

ZARR_AT_ONCE = 10  # chunks that zarr reads at a time by default, few where each takes a way through the network
OF_MACOS = "__MACOSX"  # what its Finder adds to a zip file
FORMATS: Mapping[str, Any] = {"zarr.json": 3, ".zmetadata": 2, ".zgroup": 2}  # of a zarr, by its mark


class Opened:
    """An AnnData file that has been looked at: what it is, and its root, to be entered as often as it is read.

    What lies in a bucket is opened when it is first entered, and stays so until `close`: no handle is held, and
    collecting garbage is put off only while somebody is within. A local file is opened each time it is entered, so
    that no handle and no lock of HDF5's is held meanwhile. Pickled, it is what was seen: not opened.
    """

    def __init__(self, place: Place, seen: Look) -> None:
        self.place, self.seen = place, seen
        self._start()

    def _start(self) -> None:
        # The file of which it is a part, as a modality of a MuData file is, and its path there; else its own place.
        file, self.inside = file_of(self.url)
        self.file = self.place.at(file) if self.inside else self.place
        self._lock = threading.Lock()
        self._root: Root = None
        self._is_whole = False  # it was seen that nothing of it lies in another file
        self._close: Any = None

    @classmethod
    def at(cls, place: Place) -> Opened:
        """Look at a place once; nothing is opened yet.

        Raises
        ------
        InputError
            If there is nothing, or no AnnData file.
        """
        return cls(place, kinds.look(place))

    def __getstate__(self) -> tuple[Place, Look]:
        return self.place, self.seen

    def __setstate__(self, state: tuple[Place, Look]) -> None:
        self.place, self.seen = state
        self._start()

    def __repr__(self) -> str:
        return f"Opened({self.url!r}, {self.kind!r})"

    @property
    def url(self) -> str:
        """Where it is."""
        return self.place.url

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.seen.kind

    @property
    def identity(self) -> dict[str, object]:
        """What its store said of it when it was looked at, as JSON values."""
        return dict(self.seen.identity)

    @contextlib.contextmanager
    def root(self) -> Iterator[Root]:
        """Yield the root, read-only: an `h5py.File` or a `zarr.Group`.

        Raises
        ------
        InputError
            If it is truncated or damaged, or holds no `obs`.
        """
        with contextlib.ExitStack() as stack, quiet():
            remote = not self.place.is_local
            if remote and self.kind == "h5ad":
                stack.enter_context(uncollected())
            with self._lock:
                root = self._again() if self._root is not None else self._first(stack)
            yield root

    def _again(self) -> Root:
        if self.kind == "overlay":
            self._root.store.look_again()
        return self._root

    def _first(self, stack: contextlib.ExitStack) -> Root:
        store = self.place.store
        close: contextlib.ExitStack = contextlib.ExitStack()
        try:
            if self.kind == "overlay":
                root: Root = open_complete(LinkedStore(self.place))
            elif self.kind == "h5ad":
                root = _open_h5(self.file.store, self.seen, close)
                if store.is_local and not self._is_whole:  # in a bucket each element is asked when it is read
                    check_inside(str(root.filename), "", root)
                    self._is_whole = True
                root = _part(root, self.inside, self.file.url) if self.inside else root
            else:
                root = _open_zarr(store, self.seen, close)
            with reading(store.url, "obs"):
                there, other = "obs" in root, other_format(root, store.url)
            if other is not None:
                raise InputError(store.url, "", other)
            if not there:
                raise InputError(store.url, "obs", _no_obs(store.url))
        except BaseException:
            close.close()
            raise
        if store.is_local and self.kind in ("h5ad", "zip"):
            stack.push(close)
        else:
            self._root, self._close = root, weakref.finalize(self, close.close)
            self._close.atexit = False
        return root

    def close(self) -> None:
        """Give up what is kept; it may be entered again, and is then opened anew."""
        with self._lock:
            if self._close is not None:
                self._root = None
                self._close()
                self._close = None

    def check_unchanged(self) -> None:
        """See that it is still what was looked at.

        zarr takes a chunk that is not there for zeros: without this a disk that vanishes in mid-read, or a
        file replaced meanwhile, gives numbers that nobody wrote.

        Raises
        ------
        InputError
            If it has changed or gone.
        """
        try:
            if self.identity_now() == self.identity:
                return
        except FileNotFoundError:
            pass
        raise InputError(self.url, "", "has changed or gone while it was read; run again when it stands still")

    def identity_now(self) -> dict[str, object]:
        """Return what its store says of it now."""
        if self.seen.info is None or self.place.store.is_local:
            return identity(self.place)
        store, mark = self.file.store, self.seen.mark
        return {**identity_from(store, mark, store.fs.info(store.path(mark))), "url": self.identity["url"]}


@contextlib.contextmanager
def open_anndata(place: Place) -> Iterator[Root]:
    """Yield the root of an AnnData file, read-only: an `h5py.File` or a `zarr.Group`.

    The place is a path or any fsspec URL of an h5ad file, a zarr (format 2 or 3, consolidated or not, a
    group within a zarr too), a zipped zarr, or a result that refers to its input.

    Raises
    ------
    InputError
        If it is missing, of another format, truncated, or holds no `obs`.
    """
    opened = Opened.at(place)
    try:
        with opened.root() as root:
            yield root
    finally:
        opened.close()


def zarr_store(store: Store, *, read_only: bool = True) -> ZarrStore:
    """Return zarr's own store for a folder or bucket prefix."""
    if store.is_local:
        return LocalStore(store.root, read_only=read_only)
    if zarr.config.get("async.concurrency") == ZARR_AT_ONCE:  # whoever set another knows why
        zarr.config.set({"async.concurrency": CONNECTIONS})
    fs, root = store.asynchronous()
    return BucketStore(fs, read_only=read_only, path=root or "/")


def zipped(store: Store) -> Store:
    """Return the store within a zip file: its root, or where that holds one folder and no more, as `zip -r` leaves it,
    that folder. Raises InputError if its entries cannot be trusted (`check_entries`)."""
    options, inside = {protocol_of(store.url): store.options}, ""
    within = Store(f"zip://::{store.url}", options)
    check_entries(store.url, within.fs.zip.infolist())
    while len(names := [name for name in within.list() if name != OF_MACOS]) == 1 and not within.is_file(names[0]):
        inside = f"{inside}/{names[0]}".lstrip("/")
        within = Store(f"zip://{inside}::{store.url}", options)
    return within


def _open_h5(store: Store, seen: Look, stack: contextlib.ExitStack) -> h5py.File:
    know_filters()
    try:
        if store.is_local:
            return stack.enter_context(h5py.File(store.root, "r"))
        source = stack.enter_context(store.open(info=seen.info))
        root = stack.enter_context(h5py.File(source, "r"))
        stack.callback(close_remote, open_remote(root, source))
        return root
    except StoreError as error:
        raise (unusable_store(store.url, error) if error.lasting else error) from error
    except OSError as error:
        if (gone := vanished(error)) is not None:
            raise InputError(store.url, "", gone) from error
        if isinstance(error, PermissionError):
            raise InputError(store.url, "", "may not be read; check its permissions") from error
        if (locked := _locked(error)) is not None:
            raise InputError(store.url, "", locked) from error
        what = "is truncated" if "truncated" in str(error) else f"is damaged ({error})"
        raise InputError(store.url, "", f"{what}; copy or download it again") from error


def _part(root: h5py.File, inside: str, url: str) -> h5py.Group:
    """Return a modality of a MuData file.

    Raises
    ------
    InputError
        If the file has none of this name, with those it has.
    """
    with reading(url, inside):
        part = root.get(inside)
        if isinstance(part, h5py.Group) and part.name != "/mod":
            return part
        there = ", ".join(join(url, "mod", name) for name in root.get("mod", ()))
    raise InputError(url, inside, f"there is no such modality; it has {there or 'none'}")


def _locked(error: OSError) -> str | None:
    """Say so if a file cannot be locked; HDF5 gives the number in the text alone."""
    if f"errno = {errno.EAGAIN}," in str(error):
        return "is open for writing in another program; close it there, then run again"
    if f"errno = {errno.ENOLCK}," in str(error):
        return "lies on a disk that knows no locks; set HDF5_USE_FILE_LOCKING=FALSE, and see that nobody writes to it"
    return None


def _open_zarr(store: Store, seen: Look, stack: contextlib.ExitStack) -> zarr.Group:
    # On a local disk the metadata themselves are as fast as the consolidated copy, and never stale.
    consolidated = False if store.is_local else None
    try:
        if seen.kind == "zip":
            if store.is_local:
                zipfile.ZipFile(store.root).close()  # a ZipStore that cannot be opened cannot be closed either
            within = zipped(store)
            if store.is_local and not within.root:
                opened: ZarrStore = stack.enter_context(ZipStore(store.root, mode="r"))
            else:
                opened = zarr_store(within)
            return open_complete(opened, use_consolidated=consolidated)
        form = FORMATS.get(seen.mark)  # else zarr asks for the metadata of both
        return open_complete(zarr_store(store), zarr_format=form, use_consolidated=consolidated)
    except InputError:
        raise
    except StoreError as error:
        raise (unusable_store(store.url, error) if error.lasting else error) from error
    except Exception as error:  # zarr has no error of its own for metadata that are not as they should be
        if (gone := vanished(error)) is not None:
            raise InputError(store.url, "", gone) from error
        message = "is no zarr group, or its metadata are damaged; write it again with anndata's write_zarr"
        if store.is_local and seen.kind == "zarr":
            message = other_folder(store.list()) or message
        raise InputError(store.url, "", message) from error


def _no_obs(url: str) -> str:
    if url.endswith("/raw"):
        return f"is missing: this is the `raw` part alone; give {url.removesuffix('/raw')} itself"
    return f"is missing, so this is no AnnData; give the AnnData itself, for instance {join(url, 'tables/…')}"
