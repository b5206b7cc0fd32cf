"""The consolidated metadata of a zarr, so that zarr's reader finds every element in them.

zarr 3.1 writes them in the order of folded names and reads them in runs of one parent: of two groups whose names
differ by case alone (`Batch`, `batch`), or by a form of Unicode, it loses the children of one. No issue is known;
zarr 3.4.2 reads all of them, in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore

from cellstrata.tasks.elements.kinds import shortly
from cellstrata.tasks.elements.later_zarr import remedy_of
from cellstrata.tasks.stores.data_errors import OutputError


def open_complete(store: ZarrStore, **how: Any) -> zarr.Group:
    """Open the group at the root of a store for reading, by its consolidated metadata only if zarr can read them.

    `how` are further arguments of `zarr.open_group`.
    """
    try:
        group = zarr.open_group(store, mode="r", **how)
        if not _lost(group):
            return group
    except (KeyError, ValueError):  # the lost children have children themselves, or there is a type of a later zarr
        pass
    return zarr.open_group(store, mode="r", **{**how, "use_consolidated": False})


def consolidate(store: LocalStore, shown: str) -> None:
    """Consolidate the metadata of a zarr on a local disk, and see that zarr's reader finds all of it.

    `shown` is how an error names the zarr.

    Raises
    ------
    OutputError
        If the reader does not find every element that the zarr has.
    """
    try:
        made: Any = zarr.consolidate_metadata(store).metadata.consolidated_metadata
    except ValueError as error:  # of an input in a bucket, whose metadata are not looked through before
        raise OutputError(shown, "", f"holds of its input what {remedy_of(shortly(error))}") from None
    there = set(made.flattened_metadata)
    if _unreadable(store, there):
        _order(Path(store.root))
        if lost := _unreadable(store, there):
            message = f"cannot be read by zarr's consolidated metadata ({', '.join(sorted(lost)[:5])}); rename them"
            raise OutputError(shown, "", message)


def _lost(group: zarr.Group) -> bool:
    """Tell whether zarr left an element at the root that belongs below another group."""
    found: Any = group.metadata.consolidated_metadata
    return found is not None and any("/" in name for name in found.metadata)


def _unreadable(store: LocalStore, there: set[str]) -> set[str]:
    """Return what the reader does not find of the elements that are there."""
    try:
        group = zarr.open_group(store, mode="r", use_consolidated=True)
    except KeyError as error:
        return {str(error)}
    found: Any = group.metadata.consolidated_metadata
    return {"/".join(found.metadata)} if _lost(group) else there - set(found.flattened_metadata)


def _order(folder: Path) -> None:
    """Put the children of each group side by side."""
    for name in (".zmetadata", "zarr.json"):
        file = folder / name
        if file.is_file():
            document = json.loads(file.read_bytes())
            holder = document if name == ".zmetadata" else document["consolidated_metadata"]
            holder["metadata"] = dict(_side_by_side(holder["metadata"].items()))
            file.write_text(json.dumps(document, indent=2))


def _side_by_side(items: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return sorted(items, key=lambda item: item[0].split("/"))
