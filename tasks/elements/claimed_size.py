"""Metadata may claim any shape: arrays that memory cannot hold, or of which next to nothing is stored, are refused.

zarr and HDF5 take a chunk that is not there for fill values. So a file of a few kilobytes can ask for any amount of
memory, and only the claim itself says so beforehand.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from zarr.storage import LocalStore

from cellstrata.configs.amounts import size_text
from cellstrata.tasks.elements.hdf5_outside import check_values
from cellstrata.tasks.stores.data_errors import InputError

UNSUSPICIOUS = 1 << 28  # bytes that an array may claim without a question
# Times; the most that a codec packs: zstd writes a block of 128 KiB of one value in 4 bytes (RFC 8878, 3.1.1.2).
MOST_PACKED = 32_768
PARTS = ("codes", "categories", "values", "mask", "data", "indices", "indptr")
OF_TEXT = 8  # bytes that an array of text takes for each at least: a pointer


def check_claim(node: Any) -> None:
    """Compare what an array would take in memory with what there is, and what is stored; before it is read whole.

    Also see that its values do not lie in another file.

    Of an array in a bucket or a zip file the memory alone is asked: to ask for what is stored means a listing. NumPy's
    arrays claim nothing.

    Raises
    ------
    InputError
        If it cannot be held in memory, is larger than any codec could have packed it, or lies in another file.
    """
    if isinstance(node, np.ndarray):
        return
    check_values(_url(node), _path(node), node)
    claimed = math.prod(map(int, node.shape)) * max(int(node.dtype.itemsize), OF_TEXT if node.dtype.kind in "OT" else 1)
    if claimed <= UNSUSPICIOUS:
        return
    check_room(node, claimed, node.shape)
    if (stored := _stored(node)) is not None and stored * MOST_PACKED < claimed:
        what = f"claims {size_text(claimed)} ({_shown(node.shape)}), of which {stored:,} bytes are stored"
        raise InputError(_url(node), _path(node), f"{what}; its metadata are damaged, or it was not written whole")


def check_claims(node: Any) -> None:
    """Do the same for an array, or for those that anndata reads of an element of one column or of a sparse matrix."""
    for array in [node] if hasattr(node, "dtype") else [node[name] for name in PARTS if name in node]:
        check_claim(array)


def check_room(node: Any, claimed: int, shape: Sequence[int]) -> None:
    """Compare with the memory of this machine what an element takes as a dense array, in bytes.

    Raises
    ------
    InputError
        If it takes more.
    """
    if claimed > (there := memory()):
        what = f"claims {size_text(claimed)} ({_shown(shape)}), and this machine has {size_text(there)} of memory"
        raise InputError(_url(node), _path(node), f"{what}; check its metadata, or use a larger machine")


@functools.cache
def memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _stored(node: Any) -> int | None:
    if isinstance(node, h5py.Dataset):
        return int(node.id.get_storage_size())
    if isinstance(node.store, LocalStore):
        return int(node.nbytes_stored())  # with its metadata, so a little more
    return None


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(f"{int(n):,}" for n in shape)


def _url(node: Any) -> str:
    if isinstance(node, (h5py.Dataset, h5py.Group)):
        return str(node.file.filename)
    return str(node.store_path).removesuffix(node.path).rstrip("/").removeprefix("file://")


def _path(node: Any) -> str:
    return str(node.name).strip("/")
