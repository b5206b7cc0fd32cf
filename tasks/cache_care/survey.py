"""Looking through a cache: its entries and arrays, when they were last used, and what else lies there.

Nothing is changed. Of other schemes than ours only sizes are seen; a link within the cache is neither
followed nor counted. An array belongs to the entries that name it; one that no entry names was left
by a run that was interrupted, or is about to be named.
"""

from __future__ import annotations

import os
import re

from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry, Record, array_folder, chunk_name
from cellstrata.tasks.cache.leases import LEASES, all_leases
from cellstrata.tasks.cache.record import SCHEME, parse_record
from cellstrata.tasks.cache.removals import REMOVALS
from cellstrata.tasks.cache_care.contents import Damage, StoredArray, StoredEntry, Survey, size_of
from cellstrata.tasks.cache_care.uses import DATASETS, parse_use
from cellstrata.tasks.stores.objects import StoredObject, list_objects
from cellstrata.tasks.stores.parallel import at_once

OURS = f"v{SCHEME}"

_DIGEST = "[0-9a-f]{32}"
_RECORD = re.compile(rf"{OURS}/records/([0-9a-f]{{2}})/(\1[0-9a-f]{{30}})\.json")
_ARRAY = re.compile(rf"{OURS}/arrays/([0-9a-f]{{2}})/(\1[0-9a-f]{{30}})/(zarr\.json|c(?:/0)*)")
_SMALL = re.compile(rf"({LEASES}|{REMOVALS}|{DATASETS}|{OURS}/claims)/{_DIGEST}\.json")
_LEFTOVER = re.compile(r"(.+)\.[0-9a-f]{12}\.part")


class NoCache(ValueError):
    """What a URL names is no cache; the message says what it is."""


def survey(cache: Cache) -> Survey:
    """Look at everything in a cache; where there is nothing, that is an empty one.

    Raises
    ------
    NoCache
        If something else lies at its URL.
    OSError
        If it cannot be listed.
    """
    store, found = cache.store, Survey(cache.store.url)
    names = _names(cache)
    for name in names:
        if name != OURS and re.fullmatch(r"v\d+", name):
            found.other_schemes[name] = _list(cache, found, name)
        elif name != OURS:
            found.foreign.append(StoredObject(name, 0, 0.0))
    if OURS not in names:
        return found
    if store.is_local and os.path.islink(store.path(OURS)):
        found.links.append(OURS)
        return found
    # Records first, and what they say: an array that is missing then was missing when it was named.
    records = _list(cache, found, f"{OURS}/records")
    for stored, raw in zip(records, at_once(cache.store, lambda one: _read(cache, found, one), records), strict=True):
        _take_record(found, stored, raw)
    for name in sorted(set(store.list(OURS)) - {"records"}):
        for stored in _list(cache, found, f"{OURS}/{name}"):
            _take_other(cache, found, stored)
    found.leases = all_leases(cache)
    _set_incomplete_apart(cache, found)
    return found


def _names(cache: Cache) -> list[str]:
    """What lies at the cache's URL; refuses anything but a cache, or nothing."""
    store = cache.store
    if not store.exists():
        return []
    if store.is_file():
        raise NoCache(f"{store.url} is a file, not the folder of a cache")
    names = os.listdir(store.path()) if store.is_local else store.list()
    schemes = [name for name in names if re.fullmatch(r"v\d+", name)]
    inside = [store.list(name) for name in schemes]
    if names and not any(not parts or {"records", "arrays", "leases"} & set(parts) for parts in inside):
        raise NoCache(f"{store.url} holds other things and no cache of cellstrata (there is no {OURS}/records)")
    return names


def _list(cache: Cache, found: Survey, key: str) -> list[StoredObject]:
    listing = list_objects(cache.store, key)
    found.links += listing.links
    found.unreadable += listing.unreadable
    return listing.objects


def _read(cache: Cache, found: Survey, stored: StoredObject) -> bytes | None:
    """Read an object; None when it has been removed since it was listed, or cannot be read."""
    try:
        return cache.store.read(stored.key)
    except FileNotFoundError:
        return None
    except OSError:
        found.unreadable.append(stored.key)
        return None


def _take_record(found: Survey, stored: StoredObject, raw: bytes | None) -> None:
    match = _RECORD.fullmatch(stored.key)
    if raw is None:
        return
    if match is None:
        _take_leftover(found, stored)
        return
    try:
        record = parse_record(raw, match[2])
    except DamagedEntry as error:
        found.damaged.append(Damage(stored, str(error)))
        return
    if record is None:
        found.other_schemes.setdefault(f"{OURS}, other records", []).append(stored)
        found.held |= set(re.findall(_DIGEST, raw.decode(errors="replace")))
        return
    found.entries[match[2]] = StoredEntry(
        stored, record.kind, record.key, tuple(record.apart().values()), _related(record)
    )


def _related(record: Record) -> frozenset[str]:
    """The keys of other entries that a record names: its graph, a bundle's splits, the split that evidence is for."""
    members = [record.body.get(name) for name in ("splits", "evidence")] if record.kind == "bundle" else []
    listed = [member for each in members if isinstance(each, list) for member in each]
    said: list[object] = [record.body.get("graph"), record.body.get("split"), *listed]
    return frozenset(key for key in said if isinstance(key, str))


def _take_other(cache: Cache, found: Survey, stored: StoredObject) -> None:
    if match := _ARRAY.fullmatch(stored.key):
        files = found.arrays[match[2]].files if match[2] in found.arrays else ()
        found.arrays[match[2]] = StoredArray(match[2], (*files, stored))
    elif (small := _SMALL.fullmatch(stored.key)) is None:
        _take_leftover(found, stored)
    elif small[1] == DATASETS:
        raw = _read(cache, found, stored)
        try:
            found.datasets += [] if raw is None else [parse_use(raw, stored)]
        except ValueError as error:
            found.damaged.append(Damage(stored, str(error)))
    elif small[1] != LEASES:
        found.claims.append(stored)


def _take_leftover(found: Survey, stored: StoredObject) -> None:
    """Tell what an interrupted write of ours left from what is not ours at all."""
    of = _LEFTOVER.fullmatch(stored.key)
    ours = of is not None and any(pattern.fullmatch(of[1]) for pattern in (_RECORD, _ARRAY, _SMALL))
    (found.leftovers if ours else found.foreign).append(stored)


def _set_incomplete_apart(cache: Cache, found: Survey) -> None:
    """Take out the entries one of whose arrays is missing, unless it may lie where nothing is looked at."""
    hidden = [f"{key}/" for key in [*found.links, *found.unreadable]]
    missing = {
        key: next((ref.digest for ref in entry.arrays if not _has(found, ref, hidden)), None)
        for key, entry in found.entries.items()
    }
    for key, digest in missing.items():
        if digest is None:
            continue
        stored = found.entries.pop(key).stored
        if cache.store.exists(stored.key):  # else both were removed since
            found.incomplete.append(Damage(stored, f"its array {digest} is missing or has another size"))
    # Without its bytes an array may be about to get them; with too few or too many it is of no use.
    written = {array.digest for array in found.unnamed() if len(array.files) > 1}
    found.broken = [found.arrays.pop(digest) for digest in missing.values() if digest in written & found.arrays.keys()]


def _has(found: Survey, ref: ArrayRef, hidden: list[str]) -> bool:
    array = found.arrays.get(ref.digest)
    if not size_of(ref) or (array is not None and array.holds(ref)):
        return True
    place = f"{array_folder(ref.digest)}/{chunk_name(ref)}/"
    return any(place.startswith(key) for key in hidden)
