"""The filters that compress the datasets of an HDF5 file: which are known here, and which are not.

h5py knows gzip, lzf, shuffle and szip. hdf5plugin brings blosc (snapatac2's default), zstd, bitshuffle, lz4 and others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py

from cellstrata.tasks.elements.hdf5_outside import check_inside
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.data_errors import InputError

# Those of https://github.com/HDFGroup/hdf5_plugins that people meet.
REGISTERED = {307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp",
              32015: "zstd", 32017: "sz", 32019: "jpeg", 32022: "bitround", 32023: "granular bitround", 32024: "sz3",
              32026: "blosc2", 32028: "sperr", 32033: "htj2k"}  # fmt: skip


def know_filters() -> None:
    """Make HDF5 know the filters of hdf5plugin, in this process, before a file is opened."""
    with IMPORTING:  # the import registers filters
        import hdf5plugin  # noqa: F401


def unknown_filter(node: Any) -> int | None:
    """Return the number of the first filter of a dataset that is not known here, None where it can be read."""
    if not isinstance(node, h5py.Dataset) or node.chunks is None:
        return None
    pipeline = node.id.get_create_plist()
    codes = [int(pipeline.get_filter(number)[0]) for number in range(pipeline.get_nfilters())]
    unknown = next((code for code in codes if not h5py.h5z.filter_avail(code)), None)
    # Asked only now: the size stored is summed over the chunks, whose index costs requests in a bucket.
    return None if unknown is None or not node.id.get_storage_size() else unknown


def unknown_filters(root: Any, takes: Callable[[str], bool]) -> dict[str, int]:
    """Return the number of the unknown filter of each dataset of an HDF5 file that `takes` wants, by its path.

    Nothing but the headers is read; soft and external links are not followed. A zarr has none.
    """
    found: dict[str, int] = {}
    if not isinstance(root, h5py.Group):
        return found

    def look(path: str, node: Any) -> None:
        if takes(path) and (code := unknown_filter(node)) is not None:
            found[path] = code

    root.visititems(look)
    return found


def remedy(code: int) -> str:
    """Say which filter is unknown, and what can be done."""
    name = f" ({REGISTERED[code]})" if code in REGISTERED else ""
    newer = "`pip install --upgrade hdf5plugin`, or " if code in REGISTERED else ""
    return (
        f"is compressed by the HDF5 filter {code}{name}, which is not known here: {newer}name the folder of its plugin "
        "in HDF5_PLUGIN_PATH, or write the file again where it is known, with gzip (`h5repack -f GZIP=4`)"
    )


def check_filters(name: str, where: str, node: Any) -> None:
    """Refuse an array or group that cannot be decompressed here, or lies in another file, before it is read.

    Raises
    ------
    InputError
        With the file `name`, the element `where`, the number of the filter or the other file, and what can be done.
    """
    check_inside(name, where, node)
    for code in unknown_filters_of(node):
        raise InputError(name, where, remedy(code))


def unknown_filters_of(node: Any) -> list[int]:
    """Return the numbers of the unknown filters of an array, or of the arrays of a group."""
    own = unknown_filter(node)
    return [own] if own is not None else list(unknown_filters(node, lambda path: True).values())


def is_hdf5(root: Any) -> bool:
    """Tell whether a root is one of HDF5; a zarr has no such filters."""
    return isinstance(root, h5py.Group)


def element_of(path: str) -> tuple[str, str]:
    """Return the element that a dataset belongs to, as its path and as people write it: `obsm['X_pca']`."""
    slot, _, rest = path.partition("/")
    if slot in ("X", "raw", ""):
        return slot, slot
    name = rest.partition("/")[0]
    return (f"{slot}/{name}", f"{slot}[{name!r}]") if name else (slot, slot)
