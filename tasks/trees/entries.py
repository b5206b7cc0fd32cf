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


def intact(cache: Cache, key: str) -> Record | None:
    """Return the record of a key if it and everything that it names is there and intact."""
    record = cache.read_record(key)
    if record is None:
        return None
    if record.kind == "bundle":
        members = record.body.get("splits")
        if not isinstance(members, list):
            return None
        evidence = record.body.get("evidence", [])
        cache.look_ahead(map(str, [*members, *evidence]))
        whole = all(cache.find(str(member), "split") for member in members)
        return record if whole and all(cache.find(str(member), "evidence") for member in evidence) else None
    return cache.find(key, record.kind)  # type: ignore[arg-type]
