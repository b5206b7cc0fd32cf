"""Places and opened files of tests, by their paths or URLs alone."""

from __future__ import annotations

from typing import Any

from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.stores.places import Place


def opened(url: str, options: dict[str, Any] | None = None) -> Opened:
    """Look at what stands at a place."""
    return Opened.at(Place(url, options or {}))
