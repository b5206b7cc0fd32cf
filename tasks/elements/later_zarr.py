"""What a zarr holds that the installed zarr cannot read: types and codecs that a later release has named.

zarr 3.4 calls the type of records `struct`, which zarr 3.1 does not know: marker genes that scanpy wrote there
(`uns['rank_genes_groups']`) keep it from opening the whole store by its consolidated metadata.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore

from cellstrata.tasks.elements.kinds import shortly

TELLING = {"zarr.json": ("data_type", "codecs"), ".zarray": ("dtype", "compressor", "filters")}


def unknown_arrays(root: Any, takes: Callable[[str], bool]) -> dict[str, str]:
    """Return why arrays of a zarr on a local disk that `takes` wants cannot be read, by path.

    Metadata alone are read, and of arrays of one type and the same codecs zarr is asked of one. Links are not followed.
    """
    found: dict[str, str] = {}
    if not isinstance(root, zarr.Group) or not isinstance(root.store, LocalStore):
        return found
    known: dict[str, str | None] = {}
    waiting = [""]
    while waiting:
        path = waiting.pop()
        folder = Path(root.store.root, root.path, path)
        of_array = next((telling for name in TELLING if (telling := _array(folder / name))), None)
        if of_array is None:
            with contextlib.suppress(OSError):  # said where it is read
                below = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
                waiting += [f"{path}/{name}".lstrip("/") for name in below]
        elif takes(path):
            if of_array not in known:
                known[of_array] = _fault(root, path)
            if (fault := known[of_array]) is not None:
                found[path] = fault
    return found


def remedy_of(fault: str) -> str:
    """Say why an array cannot be read, and what can be done."""
    return (
        f"cannot be read by zarr {version('zarr')} ({fault}): `pip install --upgrade zarr`, on a newer Python if "
        "there is none for this one, or delete it where it can be read and write the file again"
    )


def _array(file: Path) -> str | None:
    """Return what tells how an array is to be read, None for a group. The folder of one, which has its chunks, is not
    listed."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError):  # said where it is read
        return None
    telling = [document.get(key) for key in TELLING[file.name]] if isinstance(document, dict) else []
    return json.dumps(telling) if telling and telling[0] is not None else None


def _fault(root: zarr.Group, path: str) -> str | None:
    try:
        zarr.open_array(root.store, path=f"{root.path}/{path}".strip("/"), mode="r")
    except (ValueError, KeyError, TypeError) as error:
        return shortly(error)
    return None
