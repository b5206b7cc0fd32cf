"""Opening an AnnData file, h5ad or zarr, wherever it lies, for reading alone."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from typing import Any, TypeAlias

import h5py
import zarr
from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, LocalStore, ZipStore

from tasks.quiet import quiet
from tasks.store import StorageOptions, Store, join, protocol_of

# An h5py.Group or a zarr.Group; what lies in one neither library can type.
Root: TypeAlias = Any

_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


class DataError(ValueError):
    """A place (`url`), what in it is wrong (`key`, may be empty) and what to do (`message`)."""

    def __init__(self, url: str, key: str, message: str) -> None:
        self.url, self.key, self.message = url, key, message
        super().__init__(url, key, message)  # the arguments, so that it can be pickled

    def __str__(self) -> str:
        return ": ".join(part for part in (self.url, self.key, self.message) if part)


class InputError(DataError):
    """An input cannot be used as it is."""


@contextlib.contextmanager
def reading(url: str, where: str = "") -> Iterator[None]:
    """Turn whatever comes up while damaged data are read into an InputError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        message = f"cannot be read ({type(error).__name__}: {_shortly(error)}); check it, or write it again"
        raise InputError(url, where, message) from error


def kind_of(url: str, storage_options: StorageOptions | None = None) -> str:
    """Return `h5ad`, `zarr` or `zip` (a zarr in one zip file).

    Raises
    ------
    InputError
        If there is nothing at `url`, or something else.
    """
    store = Store.at(url, storage_options)
    try:
        if not store.exists():
            raise InputError(store.url, "", "there is no such file; check the path")
        if not store.is_file():
            return "zarr"
        with store.open() as file:
            head = file.read(8)
    except DataError:
        raise
    except PermissionError as error:
        raise InputError(store.url, "", f"may not be read ({error}); check its permissions") from error
    except Exception as error:  # an unknown protocol, one whose package is not installed, no network
        raise InputError(store.url, "", f"cannot be reached ({_shortly(error)}); check the URL") from error
    if head == _HDF5:
        return "h5ad"
    if head.startswith(_ZIP):
        return "zip"
    hint = "is empty" if not head else "is neither an h5ad file nor a zarr folder"
    raise InputError(store.url, "", f"{hint}; write it again with anndata's write_h5ad or write_zarr")


@contextlib.contextmanager
def open_anndata(url: str, storage_options: StorageOptions | None = None) -> Iterator[Root]:
    """Yield the root of an AnnData file, read-only: an `h5py.File` or a `zarr.Group`.

    `url` is a path or any fsspec URL of an h5ad file, a zarr (format 2 or 3, consolidated or not, a
    group within a zarr too) or a zipped zarr. `storage_options` are by protocol.

    Raises
    ------
    InputError
        If it is missing, of another format, truncated, or holds no `obs`.
    """
    store = Store.at(url, storage_options)
    kind = kind_of(url, storage_options)
    with contextlib.ExitStack() as stack, quiet():
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
    return FsspecStore.from_url(store.url, storage_options=dict(store.options), read_only=read_only)


def zipped(store: Store) -> Store:
    """Return the store within a zip file."""
    options = {protocol_of(store.url): dict(store.options)} if store.options else {}
    return Store(f"zip://::{store.url}", options)


def _open_h5(store: Store, stack: contextlib.ExitStack) -> h5py.File:
    try:
        source = store.root if store.is_local else stack.enter_context(store.open())
        return stack.enter_context(h5py.File(source, "r"))
    except OSError as error:
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
    except Exception as error:  # zarr has no error of its own for metadata that are not as they should be
        message = "is no zarr group, or its metadata are damaged; write it again with anndata's write_zarr"
        raise InputError(store.url, "", message) from error


def _shortly(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 100 else f"{text[:100]}…"


def _no_obs(url: str) -> str:
    if url.endswith("/raw"):
        return f"is missing: this is the `raw` part alone; give {url.removesuffix('/raw')} itself"
    return f"is missing, so this is no AnnData; give the AnnData itself, for instance {join(url, 'tables/…')}"
