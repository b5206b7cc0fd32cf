"""What stands at a place: an h5ad, a zarr, a zipped zarr, or a result that refers to its input. Asked once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cellstrata.tasks.elements.other_formats import MUDATA_FILE, OF_MUDATA
from cellstrata.tasks.overlays.document import DOCUMENT, has_document
from cellstrata.tasks.stores.data_errors import DataError, InputError, said
from cellstrata.tasks.stores.faults import VANISHED, StoreError
from cellstrata.tasks.stores.identity import identity, identity_from, standing, web_mark
from cellstrata.tasks.stores.missing_packages import missing_package
from cellstrata.tasks.stores.options import HTTP
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store, protocol_of
from cellstrata.tasks.stores.urls import file_of

Kind = Literal["h5ad", "zarr", "zip", "overlay", "memory"]  # the last has no place: `in_memory`
FILES = (".h5ad", ".h5", ".hdf5", ".zip")
NOTHING = "there is no such file; check the path"
_HDF5, _ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


@dataclass(frozen=True)
class Look:
    """What was seen at a place, picklable.

    `identity` is what the store says of it (`tasks.stores.identity`), as JSON values. `mark` is the object in a
    bucket that makes a folder a zarr, `info` what the store says of that object or of the file: with it a file is
    opened without asking again.
    """

    kind: Kind
    identity: Mapping[str, object]
    mark: str = ""
    info: Mapping[str, object] | None = field(default=None, repr=False)


def look(place: Place) -> Look:
    """Look at what stands at a place; in a bucket that takes two requests.

    Raises
    ------
    InputError
        If there is nothing, or something else than an AnnData file could be.
    """
    store = place.store
    file, inside = file_of(place.url)
    try:
        if inside:
            return _modality(place, place.at(file).store)
        return _local(place) if store.is_local else _web(place) if _is_web(store) else _bucket(store)
    except DataError:
        raise
    except StoreError as error:
        raise (unusable_store(store.url, error) if error.lasting else error) from error
    except PermissionError as error:
        raise InputError(store.url, "", f"may not be read ({error}); check its permissions") from error
    except Exception as error:  # an unknown protocol, one whose package is not installed, no network
        if (gone := vanished(error)) is not None:
            raise InputError(store.url, "", gone) from error
        if (needed := missing_package(store.url, error)) is not None:
            raise InputError(store.url, "", needed) from error
        raise InputError(store.url, "", f"cannot be reached ({shortly(error)}); check the URL") from error


def kind_of(place: Place) -> Kind:
    """Return `h5ad`, `zarr`, `zip` (a zarr in one zip file) or `overlay` (a result that refers to its input).

    Raises InputError as `look` does.
    """
    return look(place).kind


def _is_web(store: Store) -> bool:
    return protocol_of(store.url) in HTTP


def _local(place: Place) -> Look:
    store = place.store
    if not store.exists():
        raise InputError(store.url, "", NOTHING)
    if not store.is_file():
        return Look("overlay" if has_document(store) else "zarr", identity(place))
    with store.open() as file:
        return Look(_kind_of_file(store, file.read(8)), identity(place))


def _bucket(store: Store) -> Look:
    try:
        mark, info = standing(store)
    except FileNotFoundError:
        raise InputError(store.url, "", NOTHING) from None
    said = identity_from(store, mark, info)
    if mark or info.get("type") == "directory":
        return Look("overlay" if mark == DOCUMENT else "zarr", said, mark, info)
    with store.open(info=info) as file:
        return Look(_kind_of_file(store, file.read(8)), said, "", info)


def _web(place: Place) -> Look:
    """A web server lists nothing, and gives folders a page of their own unless they are called a file."""
    store = place.store
    named_file = store.url.endswith(FILES)
    mark = "" if named_file else web_mark(store)
    if not mark:
        try:
            info = store.fs.info(store.root)
            with store.open(info=info) as file:
                return Look(_kind_of_file(store, file.read(8)), identity(place), "", info)
        except (FileNotFoundError, IsADirectoryError):
            mark = web_mark(store) if named_file else ""
            if not mark and not store.exists():
                raise InputError(store.url, "", NOTHING) from None
    return Look("overlay" if mark == DOCUMENT else "zarr", identity(place), mark)


def _modality(place: Place, file: Store) -> Look:
    """Look at a part of a MuData file, which is read in place as an h5ad is."""
    try:
        info = None if file.is_local else file.fs.info(file.root)
        with file.open(info=info) as opened:
            head = opened.read(8)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(file.url, "", NOTHING) from None
    if not head.startswith((MUDATA_FILE, _HDF5)):
        raise InputError(file.url, "", "is no MuData file; write it again with mudata's write_h5mu")
    said = identity(place) if info is None else {**identity_from(file, "", info), "url": place.url}
    return Look("h5ad", said, "", info)


def _kind_of_file(store: Store, head: bytes) -> Kind:
    if head == _HDF5:
        return "h5ad"
    if head.startswith(_ZIP):
        return "zip"
    if head.startswith(MUDATA_FILE):
        raise InputError(store.url, "", f"{OF_MUDATA}; give one of them, as {store.url}/mod/rna")
    hint = "is empty" if not head else "is neither an h5ad file nor a zarr folder"
    raise InputError(store.url, "", f"{hint}; write it again with anndata's write_h5ad or write_zarr")


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
        message = f"cannot be read ({type(error).__name__}: {shortly(error)}); check it, or write it again"
        raise InputError(url, where, message) from error


def unusable_store(url: str, error: StoreError) -> InputError:
    """Say that an input cannot be had from its store until somebody mends something."""
    return InputError(url, "", f"cannot be read: {error}")


def vanished(error: BaseException) -> str | None:
    """Say so if an error means that a disk or network mount has gone."""
    number = getattr(error, "errno", None)
    text = str(error)  # h5py gives the number in the text alone
    found = next((n for n in VANISHED if n == number or f"errno = {n}," in text), None)
    return None if found is None else f"its disk or network mount has gone ({os.strerror(found)}); mend it, run again"


def shortly(error: Exception) -> str:
    """Return the first 300 characters of what an error says, on one line: zarr names its remedy late. The name of
    one that says nothing."""
    text = " ".join(said(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"
