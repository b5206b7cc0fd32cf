"""Making a cache smaller: what was used least recently goes first, and nothing that a run uses now.

Records go before their arrays, so that a reader finds a whole entry or none; whoever misses one
computes it again. Nothing is removed but files that are named as ours are, below `v1/`.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from typing import TypeVar

from cellstrata.configs.amounts import size_text
from cellstrata.tasks.cache.cache import Cache, array_folder
from cellstrata.tasks.cache.leases import PACE, Lease, live_leases
from cellstrata.tasks.cache.removals import removing
from cellstrata.tasks.cache_care.contents import Amount, StoredArray, StoredEntry, Survey
from cellstrata.tasks.cache_care.survey import survey
from cellstrata.tasks.overlays.own_folders import leftovers_of
from cellstrata.tasks.stores.objects import StoredObject, remove_empty_folders, remove_unless_touched
from cellstrata.tasks.stores.parallel import at_once
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import StorageOptions

USE_IS_KEPT_TO = 3600.0  # seconds: the time of an entry is set no more often
UNNAMED_KEPT = 3600.0  # seconds in which an array that no entry names may be about to be named
LEFTOVER_KEPT = 86400.0  # seconds in which a file may still be being written
TOGETHER = 64  # removed between two looks for new runs
MOST_FAILURES = 20
T = TypeVar("T")


@dataclass
class Pruned:
    """What was removed, or would be (`dry_run`), of what was `found`. `before` and `after` are the bytes of all.

    `damaged` are records that were damaged or lacked an array, and arrays of a wrong size; `leftovers` what
    interrupted writes and ended runs left; `beside_results`, no part of the cache, what runs left in buckets
    where results stand. `failures` say what could not be removed, `notices` what was kept and why.
    """

    dry_run: bool
    found: Survey
    entries: Amount = field(default_factory=Amount)
    arrays: Amount = field(default_factory=Amount)
    damaged: Amount = field(default_factory=Amount)
    leftovers: Amount = field(default_factory=Amount)
    beside_results: Amount = field(default_factory=Amount)
    notices: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def before(self) -> int:
        """The bytes that were there."""
        return self.found.size

    @property
    def after(self) -> int:
        """The bytes that remain."""
        return self.before - sum(amount.size for amount in (self.entries, self.arrays, self.damaged, self.leftovers))


@dataclass
class Removal:
    """What is to be removed, in this order: leftovers, damaged records and broken arrays, entries, arrays."""

    leftovers: list[StoredObject] = field(default_factory=list)
    damaged: list[StoredObject] = field(default_factory=list)
    broken: list[StoredArray] = field(default_factory=list)
    entries: list[StoredEntry] = field(default_factory=list)
    arrays: list[StoredArray] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def prune(
    cache: Cache,
    older_than: float | None = None,
    max_size: int | None = None,
    dry_run: bool = False,
    now: float | None = None,
    storage_options: StorageOptions | None = None,
) -> Pruned:
    """Remove entries last used more than `older_than` seconds ago, and until `max_size` bytes remain.

    What a run uses that holds a lease stays, whatever the limits. Damaged records, arrays of a wrong size,
    leftovers of interrupted writes (after a day) and leases of runs that have ended go too. So does what
    runs left in buckets beside the results that the cache knows of; `storage_options`, by protocol, are
    those of the results.

    Raises
    ------
    ValueError
        Without a limit.
    NoCache, OSError
        As `survey` does.
    """
    if older_than is None and max_size is None:
        raise ValueError("give older_than, max_size or both")
    cache, at = Cache(cache.store), time.time() if now is None else now
    found = survey(cache)
    removal = choose(found, older_than, max_size, at, dated=cache.store.is_local)
    pruned = Pruned(dry_run, found, notices=removal.notices)
    _remove(cache, found, removal, pruned, at)
    _remove_beside_results(found, pruned, storage_options)
    if max_size is not None and pruned.after > max_size:
        pruned.notices.append(f"{size_text(pruned.after)} remain, more than the {size_text(max_size)} asked for")
    return pruned


def choose(found: Survey, older_than: float | None, max_size: int | None, now: float, dated: bool = True) -> Removal:
    """Choose what goes. `dated` says that times tell of use, as on a local disk, and not only of writing."""
    live = [lease for lease in found.leases if lease.lives(now)]
    started = [lease.started if dated else float("-inf") for lease in live]
    kept_from = min(started, default=float("inf")) - USE_IS_KEPT_TO
    removal = _leftovers(found, now)
    broken = [file for array in removal.broken for file in array.files]
    left = found.size - Amount.of([*removal.leftovers, *removal.damaged, *broken]).size
    names = Counter(ref.digest for entry in found.entries.values() for ref in set(entry.arrays))
    young = {array.digest for array in found.unnamed() if found.unreadable or now - array.time < UNNAMED_KEPT}
    queue: list[tuple[float, str, StoredEntry | StoredArray]] = [
        *((entry.stored.time, entry.stored.key, entry) for entry in found.entries.values()),
        *((array.time, array_folder(array.digest), array) for array in found.unnamed() if array.digest not in young),
    ]
    heapq.heapify(queue)
    while queue:
        used, _, item = heapq.heappop(queue)
        too_old = older_than is not None and now - used > older_than
        if not too_old and (max_size is None or left <= max_size):
            break  # all others were used later
        if used >= kept_from:
            removal.notices.append(_in_use(live, dated))
            break
        if isinstance(item, StoredArray):
            removal.arrays.append(item)
            left -= item.size
            continue
        removal.entries.append(item)
        left -= item.stored.size
        for digest in {ref.digest for ref in item.arrays}:
            names[digest] -= 1
            array = found.arrays.get(digest)
            if names[digest] or array is None or digest in found.held:
                continue
            if array.time <= used:  # it goes with the last entry that names it
                removal.arrays.append(array)
                left -= array.size
            else:
                heapq.heappush(queue, (array.time, array_folder(digest), array))
    if young and max_size is not None and left > max_size:
        removal.notices.append(f"arrays that no entry names yet are kept for an hour: {len(young)} of them")
    removal.leftovers += _notes_of_nothing(found, removal)
    return removal


def _leftovers(found: Survey, now: float) -> Removal:
    """What goes whatever the limits."""
    dead = [lease.stored for lease in found.leases if not lease.lives(now)]
    ended = [claim for claim in found.claims if not PACE.counts(now - claim.time)]
    unfinished = [part for part in found.leftovers if abs(now - part.time) > LEFTOVER_KEPT]
    faults = [fault.stored for fault in [*found.damaged, *found.incomplete]]
    return Removal(leftovers=[*unfinished, *ended, *dead], damaged=faults, broken=found.broken)


def _notes_of_nothing(found: Survey, removal: Removal) -> list[StoredObject]:
    """The notes of datasets of which nothing remains."""
    keys = found.entries.keys() - {entry.key for entry in removal.entries}
    arrays = found.arrays.keys() - {array.digest for array in removal.arrays}
    return [note.stored for note in found.datasets if not (note.keys & keys or note.arrays & arrays)]


def _in_use(live: list[Lease], dated: bool) -> str:
    first = min(live, key=lambda lease: lease.started)
    since = datetime.fromtimestamp(first.started).astimezone().isoformat(" ", "minutes")
    runs = "a run uses" if len(live) == 1 else f"{len(live)} runs use"
    who = f"{runs} this cache (since {since}, process {first.pid} on {first.host})"
    what = "what has been used since is kept" if dated else "a bucket does not tell what is read, so all is kept"
    return f"{who}: {what}; prune again afterwards"


def _remove(cache: Cache, found: Survey, removal: Removal, pruned: Pruned, now: float) -> None:
    """Remove what was chosen, and count it; stops when a run begins meanwhile, or when too much fails."""
    known = {lease.stored.key for lease in found.leases if lease.lives(now)}
    kept: set[str] = set()  # arrays of entries that are still there
    begun = False  # a run, meanwhile: nothing more is removed, though it may end

    def gone(stored: StoredObject) -> bool:
        if pruned.dry_run:
            return True
        try:
            return len(pruned.failures) < MOST_FAILURES and remove_unless_touched(cache.store, stored)
        except OSError as error:
            pruned.failures.append(f"{stored.key}: {error.strerror or error}")
            return False

    def entry_gone(entry: StoredEntry) -> bool:
        removed = gone(entry.stored)
        kept.update(() if removed else (ref.digest for ref in entry.arrays))
        return removed

    def array_gone(array: StoredArray) -> bool:
        # The bytes before what describes them: an array without its bytes is none.
        removed = array.digest not in kept and all(gone(file) for file in sorted(array.files, key=lambda f: f.key))
        if removed and not pruned.dry_run:
            remove_empty_folders(cache.store, array_folder(array.digest))
        return removed

    def new_run() -> bool:
        nonlocal begun
        if not begun and not pruned.dry_run and any(lease.stored.key not in known for lease in live_leases(cache)):
            begun = True
            pruned.notices.append("a run has begun meanwhile, so the rest is kept; prune again when it has ended")
        return begun

    def removed(items: list[T], remove: Callable[[T], bool]) -> Iterator[T]:
        for start in range(0, len(items), TOGETHER):
            if new_run():
                return
            some = items[start : start + TOGETHER]
            yield from compress(some, at_once(cache.store, remove, some))

    pruned.leftovers = Amount.of(filter(gone, removal.leftovers))
    if not (removal.damaged or removal.broken or removal.entries or removal.arrays):
        return
    with contextlib.nullcontext() if pruned.dry_run else removing(cache.store):
        pruned.damaged = Amount.of(removed(removal.damaged, gone))
        for array in removed(removal.broken, array_gone):
            pruned.damaged = pruned.damaged.with_one(array.size)
        pruned.entries = Amount.of(entry.stored for entry in removed(removal.entries, entry_gone))
        for array in removed(removal.arrays, array_gone):
            pruned.arrays = pruned.arrays.with_one(array.size)


def _remove_beside_results(found: Survey, pruned: Pruned, storage_options: StorageOptions | None) -> None:
    for output in sorted({dataset.output for dataset in found.datasets}):
        for store, stored in leftovers_of(Place(output, storage_options or {})):
            try:
                if pruned.dry_run or remove_unless_touched(store, stored):
                    pruned.beside_results = pruned.beside_results.with_one(stored.size)
            except OSError as error:
                if len(pruned.failures) < MOST_FAILURES:
                    pruned.failures.append(f"{output}: {stored.key}: {error.strerror or error}")
