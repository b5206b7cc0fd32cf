"""Putting a staged result into a bucket: its mark first, its root metadata last."""

from __future__ import annotations

from pathlib import Path

from tasks.store import Store
from tasks.untouched import METADATA, Copied, Untouched, copy_objects

MARK = "uns/clustering/made_by"  # first, so that an interrupted upload is known as ours


def upload(staged: Path, target: Store, untouched: Untouched) -> int:
    """Write a staged zarr and what is still to be copied to `target`; return the bytes.

    What stood there before loses its root metadata first, so that a reader never sees a store that
    is half old and half new, and what is not overwritten is removed.
    """
    local = Store(str(staged))
    keys = sorted(local.walk())
    pending = untouched.pending if isinstance(untouched, Copied) else []
    stale = (set(target.walk()) if target.exists() else set()) - set(keys) - set(pending)
    for key in METADATA:
        if target.exists(key):
            target.remove(key)
    mark = [key for key in keys if key.startswith(f"{MARK}/")]
    last = [key for name in (".zattrs", ".zmetadata", ".zgroup", "zarr.json") for key in keys if key == name]
    size = copy_objects(local, mark, target)
    size += copy_objects(local, [key for key in keys if key not in {*mark, *last}], target)
    size += untouched.finish(target)
    for key in sorted(stale - set(METADATA)):
        target.remove(key)
    for key in last:
        size += copy_objects(local, [key], target)
    return size
