"""Reading a whole cache again: does every record and every array have the digest that it should have?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry, array_folder, zarr_metadata
from cellstrata.tasks.cache_care.contents import Amount, Damage, StoredArray, Survey, size_of
from cellstrata.tasks.cache_care.survey import survey
from cellstrata.tasks.stores.objects import time_of
from cellstrata.tasks.stores.parallel import at_once

_DTYPES = {"int32": "<i4", "int64": "<i8", "float32": "<f4", "float64": "<f8"}


@dataclass(frozen=True)
class Verification:
    """What was read, and what is wrong with it. Unnamed arrays and leftovers are no damage."""

    url: str
    records: Amount
    arrays: Amount
    damaged: tuple[Damage, ...]
    incomplete: tuple[Damage, ...]
    unnamed: Amount
    leftovers: Amount
    links: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether everything is what its name says."""
        return not (self.damaged or self.incomplete or self.unreadable)


def verify(cache: Cache, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Verification:
    """Read everything in a cache and check it; `on_progress` is told how many bytes of how many are read.

    Nothing is changed: what is damaged reads as absent, and is computed again by the run that needs it.

    Raises
    ------
    NoCache, OSError
        As `survey` does.
    """
    cache = Cache(cache.store)  # itself alone, without the one behind it
    found = survey(cache)
    refs = {ref.digest: ref for entry in found.entries.values() for ref in entry.arrays}
    arrays = [*found.arrays.values(), *found.broken]
    total, done = sum(array.size for array in arrays), 0
    unreadable = list(found.unreadable)

    def check(array: StoredArray) -> Damage | None:
        nonlocal done
        try:
            why = _wrong(cache, array, refs.get(array.digest))
        except OSError as error:
            unreadable.append(f"{array_folder(array.digest)}: {error.strerror or error}")
            why = None
        done += array.size
        on_progress(done, total)
        # What has been removed or written anew since it was listed has been seen half.
        changed = why is not None and any(time_of(cache.store, file.key) != file.time for file in array.files)
        return None if why is None or changed else Damage(array.files[0], why)

    faults = [fault for fault in at_once(cache.store, check, arrays) if fault is not None]
    return Verification(
        url=found.url,
        records=_records(found),
        arrays=Amount(len(arrays), total),
        damaged=(*found.damaged, *faults),
        incomplete=tuple(found.incomplete),
        unnamed=Amount.of(file for array in found.unnamed() for file in array.files),
        leftovers=Amount.of(found.leftovers),
        links=tuple(found.links),
        unreadable=tuple(unreadable),
    )


def _records(found: Survey) -> Amount:
    faults = [fault.stored for fault in [*found.damaged, *found.incomplete]]
    return Amount.of([*(entry.stored for entry in found.entries.values()), *faults])


def _wrong(cache: Cache, array: StoredArray, named: ArrayRef | None) -> str | None:
    """Say what is wrong with an array, None if nothing is; `named` is its address where a record names it."""
    described, why = None, None
    try:
        described = _described(cache, array.digest)
    except FileNotFoundError:
        why = "its zarr.json is missing: cellstrata reads it all the same, other readers of zarr do not"
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"its zarr.json is damaged ({type(error).__name__}: {error})"
    ref = named or described
    if named is None and ref is not None and size_of(ref) and len(array.files) == 1:
        return None  # an interrupted write: the array was never there
    if ref is not None and size_of(ref):
        try:
            cache.get(ref)
        except DamagedEntry as error:
            return str(error)
    return why or ("its zarr.json tells of another array" if described != ref else None)


def _described(cache: Cache, digest: str) -> ArrayRef:
    """The array that a zarr.json describes, which must be exactly what is written with such an array."""
    raw = json.loads(cache.store.read(f"{array_folder(digest)}/zarr.json"))
    ref = ArrayRef(digest, _DTYPES[raw["data_type"]], tuple(int(n) for n in raw["shape"]))
    if raw != json.loads(zarr_metadata(ref)):
        raise ValueError("it is not as it was written")
    return ref
