"""What is known of a cache's contents, and how much of it belongs to what."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from cellstrata.tasks.cache.cache import ArrayRef, array_folder, chunk_name
from cellstrata.tasks.cache.leases import Lease
from cellstrata.tasks.cache_care.uses import DatasetUse
from cellstrata.tasks.stores.objects import StoredObject

DAY = 86400.0
AGES = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "older": float("inf")}  # last used within so many seconds
_ITEM_SIZES = {"<i4": 4, "<i8": 8, "<f4": 4, "<f8": 8}


@dataclass(frozen=True)
class Amount:
    """How many things, and their bytes together."""

    count: int = 0
    size: int = 0

    def with_one(self, size: int) -> Amount:
        """Return the amount with one more thing of `size` bytes."""
        return Amount(self.count + 1, self.size + size)

    @classmethod
    def of(cls, objects: Iterable[StoredObject]) -> Amount:
        """Add up objects."""
        sizes = [stored.size for stored in objects]
        return cls(len(sizes), sum(sizes))


@dataclass(frozen=True)
class StoredEntry:
    """An intact record: its arrays, and the keys of other entries that it names."""

    stored: StoredObject
    kind: str
    key: str
    arrays: tuple[ArrayRef, ...]
    related: frozenset[str]


@dataclass(frozen=True)
class StoredArray:
    """The files of an array. `size` is in bytes; `time` is when it was written or put again (s since 1970)."""

    digest: str
    files: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def time(self) -> float:
        """When it was last written or put again."""
        return max(file.time for file in self.files)

    def holds(self, ref: ArrayRef) -> bool:
        """Tell whether the file with the array's bytes is there and of the right size."""
        expected = f"{array_folder(self.digest)}/{chunk_name(ref)}"
        return any(file.key == expected and file.size == size_of(ref) for file in self.files)


def size_of(ref: ArrayRef) -> int:
    """Return how many bytes an array's values take."""
    return math.prod(ref.shape) * _ITEM_SIZES.get(ref.dtype, 0)


@dataclass(frozen=True)
class Damage:
    """An object that is not what it should be, and why."""

    stored: StoredObject
    why: str


@dataclass
class Survey:
    """Everything in a cache. `incomplete` are records one of whose arrays is missing or `broken`, of another
    size than they say; `held` are the digests of arrays that records of another scheme may name."""

    url: str
    entries: dict[str, StoredEntry] = field(default_factory=dict)
    arrays: dict[str, StoredArray] = field(default_factory=dict)
    damaged: list[Damage] = field(default_factory=list)
    incomplete: list[Damage] = field(default_factory=list)
    broken: list[StoredArray] = field(default_factory=list)
    datasets: list[DatasetUse] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    claims: list[StoredObject] = field(default_factory=list)
    leftovers: list[StoredObject] = field(default_factory=list)
    foreign: list[StoredObject] = field(default_factory=list)
    other_schemes: dict[str, list[StoredObject]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        """The bytes of all that is ours: entries whole or damaged, arrays, notes and leftovers."""
        files = [file for array in [*self.arrays.values(), *self.broken] for file in array.files]
        faults = [fault.stored for fault in [*self.damaged, *self.incomplete]]
        notes = [*(dataset.stored for dataset in self.datasets), *(lease.stored for lease in self.leases)]
        records = [entry.stored for entry in self.entries.values()]
        return Amount.of([*records, *files, *faults, *notes, *self.claims, *self.leftovers]).size

    def unnamed(self) -> list[StoredArray]:
        """Return the arrays that no entry names."""
        named = self.held | {ref.digest for entry in self.entries.values() for ref in entry.arrays}
        return [array for digest, array in self.arrays.items() if digest not in named]


@dataclass(frozen=True)
class DatasetSize:
    """What a dataset uses, bytes: `own` alone, `shared` with other datasets. No name: what none is known to use."""

    name: str
    outputs: tuple[str, ...]
    entries: int
    own: int
    shared: int


def by_kind(found: Survey) -> dict[str, Amount]:
    """Add up the entries of each kind, the largest first; an array counts with the entry that used it last."""
    amounts: dict[str, Amount] = {}
    for entry, size in _sizes(found):
        amounts[entry.kind] = amounts.get(entry.kind, Amount()).with_one(size)
    return dict(sorted(amounts.items(), key=lambda item: (-item[1].size, item[0])))


def by_age(found: Survey, now: float) -> dict[str, Amount]:
    """Add up the entries by when they were last used, by the names of `AGES`."""
    amounts = dict.fromkeys(AGES, Amount())
    for entry, size in _sizes(found):
        age = next(name for name, limit in AGES.items() if now - entry.stored.time <= limit)
        amounts[age] = amounts[age].with_one(size)
    return amounts


def by_dataset(found: Survey) -> list[DatasetSize]:
    """Add up what each dataset uses, as far as published results tell; last, nameless, what none uses."""
    uses, of_arrays = _uses(found)
    objects = [(users, found.entries[key].stored.size) for key, users in uses.items()]
    objects += [(of_arrays.get(digest, set()), array.size) for digest, array in found.arrays.items()]
    sizes = []
    for name in sorted({dataset.name for dataset in found.datasets}):
        outputs = tuple(sorted(dataset.output for dataset in found.datasets if dataset.name == name))
        own = sum(size for users, size in objects if users == {name})
        shared = sum(size for users, size in objects if name in users) - own
        sizes.append(DatasetSize(name, outputs, sum(name in users for users in uses.values()), own, shared))
    unused = sum(size for users, size in objects if not users)
    return [*sizes, DatasetSize("", (), sum(not users for users in uses.values()), unused, 0)]


def _sizes(found: Survey) -> list[tuple[StoredEntry, int]]:
    """Each entry with the bytes of its record and of the arrays that no entry used later."""
    sizes: list[tuple[StoredEntry, int]] = []
    counted: set[str] = set()
    for entry in sorted(found.entries.values(), key=lambda entry: (-entry.stored.time, entry.key)):
        mine = {ref.digest for ref in entry.arrays} - counted
        counted |= mine
        arrays = [found.arrays[digest].size for digest in mine if digest in found.arrays]
        sizes.append((entry, entry.stored.size + sum(arrays)))
    return sizes


def _uses(found: Survey) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The names of the datasets that use each entry, by key, and each array, by digest."""
    naming_key: dict[str, list[str]] = {}
    naming_array: dict[str, list[str]] = {}
    for entry in found.entries.values():
        for key in entry.related if entry.kind != "split" else ():
            naming_key.setdefault(key, []).append(entry.key)
        for ref in entry.arrays:
            naming_array.setdefault(ref.digest, []).append(entry.key)
    uses: dict[str, set[str]] = {key: set() for key in found.entries}
    of_arrays: dict[str, set[str]] = {}
    for dataset in found.datasets:
        keys = dataset.keys & found.entries.keys()
        keys |= {graph for key in keys for graph in found.entries[key].related}
        keys |= {bundle for key in keys for bundle in naming_key.get(key, ())}
        keys |= {key for digest in dataset.arrays for key in naming_array.get(digest, ())}
        for key in keys & found.entries.keys():
            uses[key].add(dataset.name)
            for ref in found.entries[key].arrays:
                of_arrays.setdefault(ref.digest, set()).add(dataset.name)
        for digest in dataset.arrays:
            of_arrays.setdefault(digest, set()).add(dataset.name)
    return uses, of_arrays
