"""What a store says of an object without reading it: by this an input is known to be the same as last time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from cellstrata.tasks.stores.marks import TAGS
from cellstrata.tasks.stores.options import HTTP
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.stores.urls import file_of, protocol_of

MARKS = ("references.json", "zarr.json", ".zmetadata", ".zgroup")  # of the root of a zarr, or of an overlay
FOLDER = ".zarr"  # what a folder is mostly called, so that it is listed before it is asked for as a file


def identity(place: Place) -> dict[str, object]:
    """Return what a store says of an object's identity, without reading it.

    A local file gives size and modification time (ns); a local folder the same of its root
    metadata; a bucket what it has of ETag, generation, version, size and modification time.
    """
    file, inside = file_of(place.url)
    if inside:
        return {**identity(place.at(file)), "url": place.url}
    store = place.store
    if store.is_local:
        path = Path(store.root)
        marks = [p for name in MARKS if (p := path / name).is_file()]
        stat = (marks[0] if path.is_dir() and marks else path).stat()
        return {"url": store.url, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if protocol_of(store.url) in HTTP:
        return _web_identity(store)
    mark, info = standing(store)
    return identity_from(store, mark, info)


def identity_from(store: Store, mark: str, info: Mapping[str, object]) -> dict[str, object]:
    """Return the identity of what `standing` found in a bucket."""
    kept = {k: str(info[k]) for k in (*TAGS, "VersionId", "LastModified", "mtime") if k in info}
    return {"url": store.url, "size": None if mark else info.get("size"), **kept}


def standing(store: Store) -> tuple[str, Mapping[str, object]]:
    """Return what stands at a place in a bucket: of a zarr the first of its `MARKS` and what the store says of
    that; of a file, or a folder without any, an empty name and what the store says of itself.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    """
    if not store.url.endswith(FOLDER):
        info: Mapping[str, object] = store.fs.info(store.root)
        if info.get("type") != "directory":
            return "", info
    names = store.list()  # one request for all marks, where to ask for one that is not there takes two
    if mark := next((mark for mark in MARKS if mark in names), ""):
        return mark, store.fs.info(store.path(mark))
    return "", store.fs.info(store.root)


def web_mark(store: Store) -> str:
    """Return the first of the `MARKS` that a web server has below a place, empty if it has none."""
    return next((mark for mark in MARKS if store.is_file(mark)), "")


def _web_identity(store: Store) -> dict[str, object]:
    try:
        info = store.fs.info(store.root)
    except FileNotFoundError as error:  # a web server knows no folders
        info = {"type": "directory", "error": error}
    if info.get("type") == "directory":
        for mark in MARKS:
            with contextlib.suppress(FileNotFoundError):
                info = {**store.fs.info(store.path(mark)), "size": None}
                break
    if "error" in info:
        raise info["error"]
    return identity_from(store, "", info)
