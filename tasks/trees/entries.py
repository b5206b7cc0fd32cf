"""Entries of the cache, read with types; one that lacks what every revision tells counts as damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from cellstrata.tasks.cache.cache import Cache, Kind, Record
from cellstrata.tasks.stores.json_values import WrongJson

T = TypeVar("T")
log = logging.getLogger("cellstrata.cache")


def find_entry(
    cache: Cache, key: str, kind: Kind, read: Callable[[Mapping[str, object]], T]
) -> tuple[T, Record] | None:
    """Return what `read` makes of the body of an entry that the cache has whole, and its record; else None."""
    record = cache.find(key, kind)
    if record is None:
        return None
    try:
        return read(record.body), record
    except WrongJson as error:
        log.warning("cache entry %s in %s is damaged (%s): computed again", key, cache.store.url, error)
        return None
