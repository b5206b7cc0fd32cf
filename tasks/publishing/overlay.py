"""Writing an overlay: a small zarr with the new elements, and the document that makes it whole.

    OUTPUT.zarr/references.json     everything, the one object that makes it a result
    OUTPUT.zarr/own~<run id>/       new.zarr, with the cells' names and what is new; what had to be converted

In a bucket the document is written last, by a single PUT: a reader has the old result or the new one,
and each run writes below a prefix of its own.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zarr

from cellstrata.tasks.elements.consolidated import consolidate
from cellstrata.tasks.overlays.document import (
    CONVERTED,
    DOCUMENT,
    INSIDE,
    OWN,
    Ref,
    References,
    has_document,
    read_references,
)
from cellstrata.tasks.overlays.own_folders import remove_superseded
from cellstrata.tasks.publishing.input_elements import METADATA, copy_objects
from cellstrata.tasks.publishing.references import Referenced, ReferencedChunks, is_metadata, read_refs
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store


def own_name() -> str:
    """Return a name for the folder with a run's own elements that no other run has."""
    return f"own~{uuid.uuid4().hex}"


def finish_overlay(
    staged: Path,
    own: str,
    untouched: Referenced | ReferencedChunks,
    written: Mapping[str, Iterable[str]],
    target: Place,
) -> None:
    """Turn the whole zarr that was built in `own` into one of the new elements, and write the document.

    `written` names the new elements by slot.
    """
    build, converted = (Store(str(staged / own / INSIDE[number])) for number in (OWN, CONVERTED))
    index = str(_group(build)["obs"].attrs["_index"])
    _fetch_index(build, f"obs/{index}/", untouched, target)
    elements = {f"{slot}/{name}" for slot, names in written.items() for name in names} | {f"obs/{index}"}
    refs, inline = dict(untouched.refs), {}
    for key in list(build.walk()):
        if is_metadata(key):
            inline[key] = build.read(key).decode()
            continue
        ours = not _folders(key).isdisjoint(elements)
        refs[key] = Ref(OWN if ours else CONVERTED, key)
        if not ours:
            os.makedirs(os.path.dirname(converted.path(key)), exist_ok=True)
            os.rename(build.path(key), converted.path(key))
    _reduce(build, list(inline), elements, written, target.url)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document = References(target.url, own, now, inline, refs, untouched.sources, _own_of(target.store))
    for path, data in document.files().items():
        Store(str(staged)).write(path, data)


def commit_overlay(staged: Path, own: str, target: Store) -> int:
    """Write a staged overlay to a bucket, the document last; return the bytes."""
    local = Store(str(staged))
    size = copy_objects(local, [key for key in sorted(local.walk()) if key != DOCUMENT], target)
    size += copy_objects(local, [DOCUMENT], target)
    _remove_plain(target)
    remove_superseded(target)
    return size


def _group(build: Store) -> Any:
    return zarr.open_group(StagedStore(Path(build.root)), mode="r+", use_consolidated=False)


def _fetch_index(build: Store, below: str, untouched: Referenced | ReferencedChunks, target: Place) -> None:
    """Have the names of the cells in the result itself: without them its labels would be of nobody."""
    refs = {key: ref for key, ref in untouched.refs.items() if key.startswith(below)}
    for key, data in read_refs(untouched.sources, refs, target).items():
        build.write(key, data)
        del untouched.refs[key]


def _folders(key: str) -> set[str]:
    """Return the folders above an object."""
    return {key[:n] for n, letter in enumerate(key) if letter == "/"}


def _reduce(
    build: Store, metadata: list[str], elements: set[str], written: Mapping[str, Iterable[str]], shown: str
) -> None:
    """Leave the metadata of what is there alone: others would be read as arrays of fill values."""
    groups = {"", *written, "obs"}
    for key in metadata:
        path = key.rpartition("/")[0]
        if key == ".zmetadata" or (path not in groups and _folders(key).isdisjoint(elements)):
            build.remove(key)
    for folder, _, _ in os.walk(build.root, topdown=False):
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(folder)
    root = _group(build)
    root["obs"].attrs["column-order"] = list(written.get("obs", []))
    consolidate(root.store, shown)


def _own_of(target: Store) -> str | None:
    """Return the folder with the own elements of the overlay that stands at a place, if one does."""
    try:
        return read_references(target).own if has_document(target) else None
    except InputError:
        return None


def _remove_plain(target: Store) -> None:
    """Remove what an older result had that was no overlay: its root metadata first."""
    old = [key for key in target.walk() if key != DOCUMENT and not key.startswith("own~")]
    for key in sorted(old, key=lambda key: (key not in METADATA, key)):
        target.remove(key)
