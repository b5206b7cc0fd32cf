"""What a zip file says of its entries, before any is read: names that lead out of it, and sizes that swell."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable

from cellstrata.tasks.stores.data_errors import InputError

METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
MOST_METADATA = 1 << 26  # bytes; what a zarr says of a million arrays is smaller
SWELLING = 200  # times; a chunk is packed by zarr already, and hardly by the zip file
UNSUSPICIOUS = 1 << 26  # bytes that an entry may have, however well it is packed


def check_entries(url: str, entries: Iterable[zipfile.ZipInfo]) -> None:
    """Look through the directory of a zip file; nothing is unpacked.

    `zipfile` reads no more of an entry than the size that the directory says, so that size bounds the memory.

    Raises
    ------
    InputError
        If an entry's name leads out of the file (`../x`, `/x`), or its content would be far larger than what is
        stored: `METADATA` of more than 64 MiB, or any other of more than that and 200 times what is stored.
    """
    for entry in entries:
        name, size = entry.filename, entry.file_size
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            what = "has a name that leads out of the zip file; do not unpack it, ask for a zarr packed anew"
            raise InputError(url, name, what)
        if name.rpartition("/")[2] in METADATA and size > MOST_METADATA:
            what = f"would be {size:,} bytes of metadata, no zarr has as many; ask for a zarr packed anew"
            raise InputError(url, name, what)
        if size > UNSUSPICIOUS and size > SWELLING * entry.compress_size:
            what = f"would swell from {entry.compress_size:,} to {size:,} bytes; unpack it, and give the folder"
            raise InputError(url, name, what)
