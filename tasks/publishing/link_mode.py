"""How a result holds what its input held: by links, by references, or itself.

`auto` moves nothing large where that can be avoided: a zarr on the same machine is linked, what lies
in another store is referred to. A local h5ad is converted into a local result: a zarr reads faster.
"""

from __future__ import annotations

from typing import Literal

from cellstrata.tasks.elements.legacy import moved_graphs
from cellstrata.tasks.elements.opening import kind_of, open_anndata
from cellstrata.tasks.elements.storage_nodes import is_array
from cellstrata.tasks.stores.data_errors import DataError, OutputError
from cellstrata.tasks.stores.store import StorageOptions, Store, is_local, protocol_of

Mode = Literal["symlink", "reference", "copy", "convert"]
LINK_MODES = ("auto", "symlink", "reference", "copy")


def link_mode(
    input_url: str, output_url: str, asked: str = "auto", storage_options: StorageOptions | None = None
) -> Mode:
    """Choose how a result at `output_url` holds what `input_url` holds.

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
    source, target = Store.at(input_url, storage_options), Store.at(output_url, storage_options)
    kind = kind_of(input_url, storage_options)
    why_not = _cannot_refer(source, kind)
    if kind == "zarr" and not why_not and _is_old(input_url, storage_options):
        why_not = "is of a form that is too old; it is converted with `link: auto`"
    linkable = kind == "zarr" and not why_not and source.is_local and target.is_local
    if asked == "symlink" and not linkable:
        message = f"{source.url} can be linked only as a zarr folder on the same machine; set `link: auto`"
        raise OutputError(target.url, "", message)
    if asked == "reference" and why_not:
        raise OutputError(target.url, "", f"cannot refer to {source.url}, which {why_not}")
    if linkable and asked in ("auto", "symlink"):
        return "symlink"
    here = kind == "h5ad" and source.is_local and target.is_local
    if asked == "reference" or (asked == "auto" and not why_not and not here):
        return "reference"
    return "convert" if kind == "h5ad" or (kind == "zarr" and why_not) else "copy"


def link_problem(input_url: str, output_url: str, asked: str, storage_options: StorageOptions | None) -> str | None:
    """Say why a result cannot be linked as asked; None where it can, or where the input itself is in the way."""
    try:
        link_mode(input_url, output_url, asked, storage_options)
    except OutputError as error:
        return f"link: {error.message}"
    except DataError:
        return None
    return None


def tied_to_this_machine(input_url: str, output_url: str, asked: str) -> bool:
    """Tell whether a result in a bucket would refer to data on a local disk, which others cannot read."""
    return asked in ("auto", "reference") and is_local(input_url) and not is_local(output_url)


def _cannot_refer(source: Store, kind: str) -> str | None:
    if kind == "zip":
        return "is a zip file; unpack it, or set `link: copy`"
    if kind == "zarr" and protocol_of(source.url) in ("http", "https"):
        return "cannot be listed over http; set `link: auto`, which converts it"
    return None


def _is_old(url: str, storage_options: StorageOptions | None) -> bool:
    """Tell whether a zarr is of a form that is not to be carried on."""
    with open_anndata(url, storage_options) as root:
        return bool(moved_graphs(root)) or is_array(root["obs"])
