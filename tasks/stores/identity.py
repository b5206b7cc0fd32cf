"""What a store says of an object without reading it: by this an input is known to be the same as last time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from cellstrata.tasks.stores.marks import TAGS
from cellstrata.tasks.stores.store import StorageOptions, Store

MARKS = ("references.json", "zarr.json", ".zmetadata", ".zgroup")  # of the root of a zarr, or of an overlay


def identity(url: str, storage_options: StorageOptions | None = None) -> dict[str, Any]:
    """Return what a store says of an object's identity, without reading it.

    A local file gives size and modification time (ns); a local folder the same of its root
    metadata; a bucket what it has of ETag, generation, version, size and modification time.
    """
    store = Store.at(url, storage_options)
    if store.is_local:
        path = Path(store.root)
        marks = [p for name in MARKS if (p := path / name).is_file()]
        stat = (marks[0] if path.is_dir() and marks else path).stat()
        return {"url": store.url, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
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
    kept = {k: str(info[k]) for k in (*TAGS, "VersionId", "LastModified", "mtime") if k in info}
    return {"url": store.url, "size": info.get("size"), **kept}
