"""Whether something can be written to a place, found out before work starts and not after an hour of it."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

from cellstrata.tasks.stores.data_errors import said
from cellstrata.tasks.stores.faults import StoreError
from cellstrata.tasks.stores.missing_packages import missing_package
from cellstrata.tasks.stores.options import HTTP
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store, protocol_of


def unusable(place: Place) -> str | None:
    """Say why nothing can be written below a place, None where nothing speaks against it.

    On a local disk nothing is left: a file without a name is made and gone. In a bucket a small object is written,
    and removed.
    """
    try:
        store, url = place.store, place.url
        if not store.is_local:
            return None if protocol_of(url) == "memory" else _refused(store)
        path = Path(store.root)
        there = next((p for p in (path, *path.parents) if os.path.exists(p)), None)
    except StoreError as error:
        return f"{url} cannot be used ({error})"
    except Exception as error:  # an unknown protocol, one whose package is not installed, wrong options
        return f"{place.url} {missing_package(place.url, error) or f'cannot be reached ({said(error)})'}"
    if there is not None and not there.is_dir():
        return f"{there} is a file, not a folder"
    if there is None or there == path:
        return None
    if not os.access(there, os.W_OK | os.X_OK):
        return f"nothing may be written to the folder {there}"
    try:
        tempfile.TemporaryFile(dir=there).close()  # /proc and others say yes to all and take nothing
    except OSError as error:
        return f"nothing can be written to the folder {there} ({error.strerror or error})"
    return None


def _refused(store: Store) -> str | None:
    if protocol_of(store.url) in HTTP:
        return f"{store.url} can only be read"
    key, doing = f".cellstrata-probe-{uuid.uuid4().hex}", "written to"
    try:
        store.write(key, b"may be removed")
        doing = "removed from"
        store.fs.rm_file(store.path(key))
    except StoreError as error:
        return f"nothing can be {doing} {store.url} ({error})"
    return None
