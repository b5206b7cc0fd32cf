"""The own metadata of the elements that are read, where a zarr was opened by its consolidated metadata.

Consolidated metadata are a copy, in one object, and may be older than the store: then an element that was added is
"not there", and one that was replaced is decoded as what it was. So the metadata of what a run reads are asked for
once more, and win. On a local disk nothing is opened by the copy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore

FRAMES = ("obs", "var")  # of these only the index is looked at; a column is an element of its own
PARTS = {"csr_matrix": ("data", "indices", "indptr"), "csc_matrix": ("data", "indices", "indptr"),
         "categorical": ("codes", "categories"), "nullable-integer": ("values", "mask"),
         "nullable-boolean": ("values", "mask"), "nullable-string-array": ("values", "mask")}  # fmt: skip


class BucketStore(FsspecStore):
    """zarr's store over fsspec, which knows of which elements the own metadata have been read, and which differed."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.looked: dict[str, bool] = {}


def take_own(root: Any, *paths: str) -> None:
    """Let the own metadata of these elements, `slot` or `slot/name`, hold in place of the consolidated ones.

    An element that is not there is taken away, one that is there is added. Each is asked for once, all at a time.
    Does nothing for a root that was not opened by consolidated metadata in a bucket or on a web server.
    """
    looked = _looked(root)
    if looked is None or not (wanted := [path for path in dict.fromkeys(paths) if path not in looked]):
        return

    async def read() -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(_own(root, path, _known(root, path)) for path in wanted)))

    for path, own in zip(wanted, sync(read()), strict=True):
        looked[path] = _lay_in(root, path, own)


def covariate_elements(name: str) -> list[str]:
    """Return what is read to color cells by an obs column: itself, and the colors of its categories."""
    return [f"obs/{name}", *([] if "/" in name else [f"uns/{name}_colors"])]


def older_than(root: Any) -> list[str]:
    """Return the elements whose own metadata were found to differ from the consolidated ones."""
    return [path for path, differs in (_looked(root) or {}).items() if differs]


def _looked(root: Any) -> dict[str, bool] | None:
    """Return what is known of a root's elements, None where there is nothing to compare."""
    if not isinstance(root, zarr.Group) or root.metadata.consolidated_metadata is None:
        return None
    return root.store.looked if isinstance(root.store, BucketStore) else None


def _known(root: Any, path: str) -> Any:
    """Return what the consolidated metadata say of an element."""
    there = root.metadata
    for name in path.split("/"):
        listed = getattr(there, "consolidated_metadata", None)
        if listed is None or name not in listed.metadata:
            return None
        there = listed.metadata[name]
    return there


async def _own(root: Any, path: str, known: Any) -> dict[str, Any]:
    """Return the metadata of a node and of all below it that belongs to it, as JSON values, by path."""
    document = await _document(root, path, group=hasattr(known, "consolidated_metadata"))
    if document is None:
        return {}
    found = {path: document}
    if "shape" in document:
        return found
    listed = getattr(known, "consolidated_metadata", None)
    below = dict(listed.metadata) if listed is not None else {}
    names = await _names(root, path, document.get("attributes", {}), list(below))
    parts = await asyncio.gather(*(_own(root, f"{path}/{name}", below.get(name)) for name in names))
    for part in parts:
        found |= part
    return found


async def _document(root: Any, path: str, *, group: bool) -> dict[str, Any] | None:
    if root.metadata.zarr_format == 3:
        found = await _json(root, f"{path}/zarr.json")
        return None if found is None else {key: found[key] for key in found if key != "consolidated_metadata"}
    kind = ".zgroup" if group else ".zarray"
    own, attributes = await asyncio.gather(_json(root, f"{path}/{kind}"), _json(root, f"{path}/.zattrs"))
    if own is None:
        own = await _json(root, f"{path}/{'.zarray' if group else '.zgroup'}")
    return None if own is None else {**own, "attributes": attributes or {}}


async def _json(root: Any, key: str) -> dict[str, Any] | None:
    below = f"{root.path}/" if root.path else ""
    found = await root.store.get(f"{below}{key}", default_buffer_prototype())
    return None if found is None else dict(json.loads(found.to_bytes()))


async def _names(root: Any, path: str, attributes: Mapping[str, Any], known: list[str]) -> list[str]:
    """Return the children that belong to a group by its encoding; of a dict those that the store lists."""
    kind = attributes.get("encoding-type")
    if kind in PARTS:
        return list(PARTS[kind])
    if kind == "dataframe" and attributes.get("encoding-version") != "0.1.0":
        return [attributes["_index"], *(() if path in FRAMES else attributes["column-order"])]
    below = f"{root.path}/" if root.path else ""
    try:
        listed = [name async for name in root.store.list_dir(f"{below}{path}")]
    except (OSError, NotImplementedError):  # a web server
        listed = []
    names = [name.rstrip("/").rpartition("/")[2] for name in listed]
    return list(dict.fromkeys([*known, *(n for n in names if not n.startswith(".z") and n not in ("zarr.json", ""))]))


def _lay_in(root: Any, path: str, own: dict[str, Any]) -> bool:
    """Put the metadata of an element into the root's consolidated ones; tell whether they said something else."""
    listing, known = root.metadata.consolidated_metadata, _known(root, path)
    # zarr's reader wants the children of one group side by side.
    documents = {key.replace(path, "element", 1): own[key] for key in sorted(own, key=lambda key: key.split("/"))}
    fresh = type(listing).from_dict({"kind": "inline", "metadata": documents}).metadata.get("element")
    before, after = _flat(known), _flat(fresh)
    if after and path in FRAMES:
        before = {name: before[name] for name in after if name in before}
    if before == after:
        return False
    slot, _, name = path.rpartition("/")
    if slot and not hasattr(_known(root, slot), "consolidated_metadata"):
        take_own(root, slot)  # a group that was added too, now with all that is in it
        return True
    holder = _known(root, slot).consolidated_metadata.metadata if slot else listing.metadata
    if fresh is None:
        holder.pop(name, None)
        return True
    if path in FRAMES and known is not None and hasattr(known, "consolidated_metadata"):
        columns = fresh.consolidated_metadata.metadata
        columns.update({**known.consolidated_metadata.metadata, **columns})
    holder[name] = fresh
    return True


def _flat(node: Any, name: str = "") -> dict[str, str]:
    """Return the metadata of a node and of all below it as text that can be compared, by path."""
    if node is None:
        return {}
    said = {key: value for key, value in node.to_dict().items() if key != "consolidated_metadata"}
    found = {name: json.dumps(said, sort_keys=True, default=repr)}
    below = getattr(node, "consolidated_metadata", None)
    for key, child in ({} if below is None else below.metadata).items():
        found |= _flat(child, f"{name}/{key}")
    return found
