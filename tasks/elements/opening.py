"""Opening an AnnData file, h5ad or zarr, wherever it lies, for reading alone."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from typing import Any, TypeAlias

import h5py
import zarr
from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, LocalStore, ZipStore

from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import close_remote, open_remote
from cellstrata.tasks.overlays.document import has_document
from cellstrata.tasks.overlays.linked_store import LinkedStore
from cellstrata.tasks.stores.data_errors import DataError as DataError
from cellstrata.tasks.stores.data_errors import InputError as InputError
from cellstrata.tasks.stores.faults import VANISHED, StoreError
from cellstrata.tasks.stores.garbage_pause import uncollected
from cellstrata.tasks.stores.identity import MARKS, identity
from cellstrata.tasks.stores.options import AT_ONCE
from cellstrata.tasks.stores.store import StorageOptions, Store, join, protocol_of

# An h5py.Group or a zarr.Group; what lies in one neither library can type.
Root: TypeAlias = Any

ZARR_AT_ONCE = 10  # chunks that zarr reads at a time by default, few where each takes a way through the network
_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


@contextlib.contextmanager
def reading(url: str, where: str = "") -> Iterator[None]:
    """Turn whatever comes up while damaged data are read into an InputError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except StoreError as error:
        raise (unusable_store(url, error) if error.lasting else error) from error
    except Exception as error:
        if (gone := vanished(error)) is not None:
            raise InputError(url, where, gone) from error
        message = f"cannot be read ({type(error).__name__}: {_shortly(error)}); check it, or write it again"
        raise InputError(url, where, message) from error


def kind_of(url: str, storage_options: StorageOptions | None = None) -> str:
    """Return `h5ad`, `zarr`, `zip` (a zarr in one zip file) or `overlay` (a result that refers to its input).

    Raises
    ------
    InputError
        If there is nothing at `url`, or something else.
    """
    store = Store.at(url, storage_options)
    try:
        head = _head(store)
        if head is None:
            return "overlay" if has_document(store) else "zarr"
    except DataError:
        raise
    except StoreError as error:
        raise (unusable_store(store.url, error) if error.lasting else error) from error
    except PermissionError as error:
        raise InputError(store.url, "", f"may not be read ({error}); check its permissions") from error
    except Exception as error:  # an unknown protocol, one whose package is not installed, no network
        if (gone := vanished(error)) is not None:
            raise InputError(store.url, "", gone) from error
        raise InputError(store.url, "", f"cannot be reached ({_shortly(error)}); check the URL") from error
    if head == _HDF5:
        return "h5ad"
    if head.startswith(_ZIP):
        return "zip"
    hint = "is empty" if not head else "is neither an h5ad file nor a zarr folder"
    raise InputError(store.url, "", f"{hint}; write it again with anndata's write_h5ad or write_zarr")


def _head(store: Store) -> bytes | None:
    """Return the first bytes of a file, None for a folder. Raises InputError if there is neither."""
    if store.is_local:
        if not store.exists():
            raise InputError(store.url, "", NOTHING)
        if not store.is_file():
            return None
        with store.open() as file:
            return file.read(8)
    # Unless it is called a file: a web server gives folders a page of their own.
    if not store.url.endswith(FILES) and any(store.is_file(mark) for mark in MARKS):
        return None
    try:
        with store.open() as file:
            return file.read(8)
    except (FileNotFoundError, IsADirectoryError):
        if store.exists() or any(store.is_file(mark) for mark in MARKS):
            return None
        raise InputError(store.url, "", NOTHING) from None


FILES = (".h5ad", ".h5", ".hdf5", ".zip")
NOTHING = "there is no such file; check the path"


def unusable_store(url: str, error: StoreError) -> InputError:
    """Say that an input cannot be had from its store until somebody mends something."""
    return InputError(url, "", f"cannot be read: {error}")


def vanished(error: BaseException) -> str | None:
    """Say so if an error means that a disk or network mount has gone."""
    number = getattr(error, "errno", None)
    text = str(error)  # h5py gives the number in the text alone
    found = next((n for n in VANISHED if n == number or f"errno = {n}," in text), None)
    return None if found is None else f"its disk or network mount has gone ({os.strerror(found)}); mend it, run again"


def check_unchanged(url: str, before: dict[str, Any], storage_options: StorageOptions | None = None) -> None:
    """See that an input is still the one whose identity was taken before it was read.

    zarr takes a chunk that is not there for zeros: without this a disk that vanishes in mid-read, or a
    file replaced meanwhile, gives numbers that nobody wrote.

    Raises
    ------
    InputError
        If it has changed or gone.
    """
    try:
        if identity(url, storage_options) == before:
            return
    except FileNotFoundError:
        pass
    raise InputError(url, "", "has changed or gone while it was read; run again when it stands still")


@contextlib.contextmanager
def open_anndata(url: str, storage_options: StorageOptions | None = None) -> Iterator[Root]:
    """Yield the root of an AnnData file, read-only: an `h5py.File` or a `zarr.Group`.

    `url` is a path or any fsspec URL of an h5ad file, a zarr (format 2 or 3, consolidated or not, a
    group within a zarr too), a zipped zarr, or a result that refers to its input. `storage_options` are by protocol.

    Raises
    ------
    InputError
        If it is missing, of another format, truncated, or holds no `obs`.
    """
    store = Store.at(url, storage_options)
    kind = kind_of(url, storage_options)
    with contextlib.ExitStack() as stack, quiet():
        if kind == "overlay":
            root: Root = zarr.open_group(LinkedStore(store, storage_options), mode="r")
        else:
            root = _open_h5(store, stack) if kind == "h5ad" else _open_zarr(store, kind, stack)
        with reading(store.url, "obs"):
            there = "obs" in root
        if not there:
            raise InputError(store.url, "obs", _no_obs(store.url))
        yield root


def zarr_store(store: Store, *, read_only: bool = True) -> ZarrStore:
    """Return zarr's own store for a folder or bucket prefix."""
    if store.is_local:
        return LocalStore(store.root, read_only=read_only)
    if zarr.config.get("async.concurrency") == ZARR_AT_ONCE:  # whoever set another knows why
        zarr.config.set({"async.concurrency": AT_ONCE})
    fs, root = store.asynchronous()
    return FsspecStore(fs, read_only=read_only, path=root or "/")


def zipped(store: Store) -> Store:
    """Return the store within a zip file."""
    return Store(f"zip://::{store.url}", {protocol_of(store.url): store.options})


def _open_h5(store: Store, stack: contextlib.ExitStack) -> h5py.File:
    try:
        if store.is_local:
            return stack.enter_context(h5py.File(store.root, "r"))
        stack.enter_context(uncollected())
        source = stack.enter_context(store.open())
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
        what = "is truncated" if "truncated" in str(error) else f"is damaged ({error})"
        raise InputError(store.url, "", f"{what}; copy or download it again") from error


def _open_zarr(store: Store, kind: str, stack: contextlib.ExitStack) -> zarr.Group:
    try:
        if kind == "zip":
            if store.is_local:
                zipfile.ZipFile(store.root).close()  # a ZipStore that cannot be opened cannot be closed either
                opened: ZarrStore = stack.enter_context(ZipStore(store.root, mode="r"))
            else:
                opened = zarr_store(zipped(store))
            return zarr.open_group(opened, mode="r")
        # On a local disk the metadata themselves are as fast as the consolidated copy, and never stale.
        consolidated = False if store.is_local else None
        return zarr.open_group(zarr_store(store), mode="r", use_consolidated=consolidated)
    except StoreError as error:
        raise (unusable_store(store.url, error) if error.lasting else error) from error
    except Exception as error:  # zarr has no error of its own for metadata that are not as they should be
        if (gone := vanished(error)) is not None:
            raise InputError(store.url, "", gone) from error
        message = "is no zarr group, or its metadata are damaged; write it again with anndata's write_zarr"
        raise InputError(store.url, "", message) from error


def _shortly(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _no_obs(url: str) -> str:
    if url.endswith("/raw"):
        return f"is missing: this is the `raw` part alone; give {url.removesuffix('/raw')} itself"
    return f"is missing, so this is no AnnData; give the AnnData itself, for instance {join(url, 'tables/…')}"
