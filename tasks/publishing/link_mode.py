"""How a result holds what its input held: by links, by references, or itself.

`auto` moves nothing large where that can be avoided: a zarr on the same machine is linked, what lies
in another store is referred to. A local h5ad is converted into a local result: a zarr reads faster.
"""

from __future__ import annotations

from typing import Literal

from cellstrata.tasks.elements.legacy import moved_graphs
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.elements.storage_nodes import is_array
from cellstrata.tasks.stores.data_errors import DataError, OutputError
from cellstrata.tasks.stores.options import HTTP
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import is_local, protocol_of

Mode = Literal["symlink", "reference", "copy", "convert"]
LINK_MODES = ("auto", "symlink", "reference", "copy")


def link_mode(source: Opened, target: Place, asked: str = "auto") -> Mode:
    """Choose how a result at `target` holds what an input holds, which is not asked what it is.

    Raises
    ------
    InputError
        If the input cannot be read.
    OutputError
        If what is asked for cannot be had.
    ValueError
        If `asked` is none of `LINK_MODES`.
    """
    if asked not in LINK_MODES:
        raise ValueError(f"link: {asked!r} is none of {', '.join(LINK_MODES)}")
    kind = source.kind
    why_not = _cannot_refer(source)
    if kind == "zarr" and not why_not and _is_old(source):
        why_not = "is of a form that is too old; it is converted with `link: auto`"
    linkable = kind == "zarr" and not why_not and source.place.is_local and target.is_local
    if asked == "symlink" and not linkable:
        message = f"{source.url} can be linked only as a zarr folder on the same machine; set `link: auto`"
        raise OutputError(target.url, "", message)
    if asked == "reference" and why_not:
        raise OutputError(target.url, "", f"cannot refer to {source.url}, which {why_not}")
    if linkable and asked in ("auto", "symlink"):
        return "symlink"
    here = kind == "h5ad" and source.place.is_local and target.is_local
    if asked == "reference" or (asked == "auto" and not why_not and not here):
        return "reference"
    return "convert" if kind == "h5ad" or (kind == "zarr" and why_not) else "copy"


def link_problem(source: Opened, target: Place, asked: str) -> str | None:
    """Say why a result cannot be linked as asked; None where it can, or where the input itself is in the way."""
    try:
        link_mode(source, target, asked)
    except OutputError as error:
        return f"link: {error.message}"
    except DataError:
        return None
    return None


def tied_to_this_machine(*, source: str, target: str, asked: str) -> bool:
    """Tell whether a result in a bucket would refer to data on a local disk, which others cannot read."""
    return asked in ("auto", "reference") and is_local(source) and not is_local(target)


def _cannot_refer(source: Opened) -> str | None:
    if source.inside:
        return "is a part of a MuData file; set `link: auto`, which converts it"
    if source.kind == "zip":
        return "is a zip file; unpack it, or set `link: copy`"
    if source.kind == "zarr" and protocol_of(source.url) in HTTP:
        return "cannot be listed over http; set `link: auto`, which converts it"
    return None


def _is_old(source: Opened) -> bool:
    """Tell whether a zarr is of a form that is not to be carried on."""
    with source.root() as root:
        return bool(moved_graphs(root)) or is_array(root["obs"])
