"""URLs and paths as text: what they name, and how they are put together. Nothing here opens anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

StorageOptions = Mapping[str, Mapping[str, Any]]

MUDATA = ".h5mu"


def protocol_of(url: str) -> str:
    """Return the protocol of a URL, `file` for a plain path."""
    return url.split("://", 1)[0] if "://" in url else "file"


def is_local(url: str) -> bool:
    """Tell whether a URL or path lies on a local disk."""
    return protocol_of(url) in ("file", "local")


def local_path(url: str) -> Path:
    """Return the absolute path behind a local URL (`~` expanded).

    Raises
    ------
    ValueError
        If the URL is not local.
    """
    if not is_local(url):
        raise ValueError(f"{url} is not on a local disk")
    path = url.split("://", 1)[1] if "://" in url else url
    return Path(os.path.abspath(os.path.expanduser(path)))


def absolute(url: str) -> str:
    """Return a URL as it should be recorded: local ones as absolute paths, others unchanged."""
    return str(local_path(url)) if is_local(url) else url.rstrip("/")


def real(url: str) -> str:
    """Return a URL with the links in a local path followed, for telling whether two are the same."""
    return os.path.realpath(local_path(url)) if is_local(url) else url.rstrip("/")


def place_of(url: str) -> str:
    """Return what a URL begins with: its bucket or server, without credentials."""
    protocol, _, rest = url.rpartition("::")[2].partition("://")
    return f"{protocol}://{rest.split('/', 1)[0].rpartition('@')[2]}" if rest else protocol


def file_of(url: str) -> tuple[str, str]:
    """Return the URL of the file that holds what a URL names, and the path within it, empty for the whole.

    Only a MuData file has parts: `atlas.h5mu/mod/rna`. A folder on a local disk that is called so has none.
    """
    file, _, inside = url.partition(f"{MUDATA}/")
    if not inside.strip("/") or (is_local(url) and local_path(file + MUDATA).is_dir()):
        return url, ""
    return file + MUDATA, inside.strip("/")


def join(url: str, *parts: str) -> str:
    """Append path parts to a URL."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts)])
