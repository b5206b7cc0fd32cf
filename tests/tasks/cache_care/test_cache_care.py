"""Looking at a cache, checking it, pruning it: what goes, and all that must stay."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.cache.cache import Cache, DamagedEntry, array_folder, record_path
from cellstrata.tasks.cache.leases import LEASES, using
from cellstrata.tasks.cache_care import prune as cache_prune
from cellstrata.tasks.cache_care.contents import Amount, by_age, by_dataset, by_kind
from cellstrata.tasks.cache_care.prune import prune
from cellstrata.tasks.cache_care.survey import NoCache, survey
from cellstrata.tasks.cache_care.uses import DATASETS
from cellstrata.tasks.cache_care.verify import verify
from cellstrata.tasks.stores import objects as stored_objects
from cellstrata.tasks.stores.digest import canonical_json, digest_array
from cellstrata.tasks.stores.store import Store
from tests.tasks.everything import tree_hash
from tests.tasks.small import CELLS, cache_at, grow, plan_for
from tests.tasks.small_caches import (
    DAY,
    HOUR,
    NOW,
    add_entry,
    files,
    key_of,
    new_cache,
    set_age,
    set_array_age,
    there,
    values_of,
)


@pytest.fixture(params=["local", "memory"])
def cache(request: Any, tmp_path: Path) -> Cache:
    return new_cache(request.param, tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


# looking


def test_a_cache_that_is_not_there_is_empty(cache: Cache) -> None:
    found = survey(cache)
    assert (found.size, found.entries, found.arrays) == (0, {}, {})
    assert verify(cache).is_sound
    assert prune(cache, max_size=0).after == 0
    assert not files(cache)


def test_what_is_no_cache_is_refused(cache: Cache, tmp_path: Path) -> None:
    cache.store.write("atlas.h5ad", b"precious")
    cache.store.write("results/v1/records/ab.json", b"precious")
    for command in (survey, verify, lambda one: prune(one, max_size=0)):
        with pytest.raises(NoCache, match="holds other things"):
            command(cache)
    assert len(files(cache)) == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(NoCache, match="is a file"):
        survey(cache_at(tmp_path / "file"))


def test_everything_is_counted_once(cache: Cache) -> None:
    shared = values_of(99, 1000)
    add_entry(cache, 1, values_of(1), shared)
    add_entry(cache, 2, shared, age=3 * DAY)
    add_entry(cache, 3, age=20 * DAY)
    add_entry(cache, 4, age=100 * DAY)
    cache.write_record("bundle", key_of(5), {"splits": [key_of(1)]})
    cache.put(values_of(7))
    found = survey(cache)
    assert found.size == sum(files(cache).values())
    assert (len(found.entries), len(found.arrays), len(found.unnamed())) == (5, 5, 1)
    unnamed = sum(array.size for array in found.unnamed())
    kinds, ages = by_kind(found), by_age(found, time.time())
    assert {kind: amount.count for kind, amount in kinds.items()} == {"split": 4, "bundle": 1}
    assert [amount.count for amount in ages.values()] == [2, 1, 1, 1]
    for amounts in (kinds, ages):
        assert sum(amount.size for amount in amounts.values()) == found.size - unnamed
    assert ages["day"].size > 4000 > ages["week"].size, "the shared array counts where it was used last"


def note(cache: Cache, name: str, output: str, keys: list[str], arrays: list[str]) -> str:
    body = {"name": name, "output": output, "keys": keys, "arrays": arrays, "written": ""}
    path = f"{DATASETS}/{len(survey(cache).datasets):032x}.json"
    cache.store.write(path, canonical_json(body))
    return path


def test_size_by_dataset(cache: Cache) -> None:
    embedding = cache.put(values_of(50, 500))
    add_entry(cache, 1, values_of(1, 1000), graph=key_of(2))
    add_entry(cache, 2)
    add_entry(cache, 3)
    add_entry(cache, 4)
    cache.write_record("input", key_of(5), {"arrays": {"embedding": embedding.to_json()}})
    cache.write_record("bundle", key_of(6), {"splits": [key_of(3)]})
    note(cache, "lung", "a", [key_of(1), key_of(404)], [embedding.digest])
    note(cache, "lung", "b", [key_of(3)], [])
    note(cache, "skin\x1b[2J", "c", [key_of(3)], [])
    found = survey(cache)
    lung, skin, rest = by_dataset(found)
    assert (lung.name, lung.outputs, lung.entries) == ("lung", ("a", "b"), 5)
    assert (skin.name, skin.outputs, skin.entries) == ("skin?[2J", ("c",), 2)
    assert lung.shared == skin.shared > 400
    assert lung.own > 6000
    assert skin.own == 0
    assert (rest.name, rest.entries, rest.shared) == ("", 1, 0)
    notes = sum(size for key, size in files(cache).items() if key.startswith(DATASETS))
    assert lung.own + lung.shared + rest.own == found.size - notes


PRECIOUS = [
    "v0/records/x",
    "v2/arrays/y",
    "readme.txt",
    "v1/notes.txt",
    "v1/mine/x.0123456789ab.part",
    "v1/records/ab/abc.json",
    f"v1/records/00/{'ab' * 16}.json",
    f"v1/records/ab/{'ab' * 16}.json.bak",
    f"v1/records/ab/{'AB' * 16}.json",
    f"v1/arrays/ab/{'ab' * 16}/c/0/1",
    f"v1/leases/{'ab' * 15}.json",
]


def test_what_else_lies_there_is_told_and_left_alone(cache: Cache) -> None:
    for key in PRECIOUS:
        cache.store.write(key, b"precious")
        set_age(cache, key, 400 * DAY)
    add_entry(cache, 1, age=60 * DAY)
    found = survey(cache)
    assert {name: len(objects) for name, objects in found.other_schemes.items()} == {"v0": 1, "v2": 1}
    assert sorted(stored.key for stored in found.foreign) == sorted(PRECIOUS[2:])
    assert not found.damaged
    assert prune(cache, older_than=0, max_size=0).entries.count == 1
    assert sorted(files(cache)) == sorted(PRECIOUS)


def test_what_records_of_another_scheme_name_is_kept(cache: Cache) -> None:
    ref = cache.put(values_of(1))
    set_array_age(cache, ref, 60 * DAY)
    theirs = record_path(key_of(1))
    cache.store.write(theirs, canonical_json({"scheme": 2, "chunks": [ref.digest]}))
    before = files(cache)
    assert list(survey(cache).other_schemes) == ["v1, other records"]
    prune(cache, older_than=0, max_size=0)
    assert files(cache) == before
    assert verify(cache).is_sound


def test_leftovers_of_interrupted_writes_go_after_a_day(local: Cache) -> None:
    old = f"v1/records/ab/{'ab' * 16}.json.0123456789ab.part"
    new = f"v1/arrays/cd/{'cd' * 16}/c/0.0123456789ab.part"
    claims = [f"v1/claims/{number:032x}.json" for number in range(2)]
    for key in (old, new, *claims):
        local.store.write(key, b"half")
    set_age(local, old, 2 * DAY)
    set_age(local, claims[0], HOUR)
    assert len(survey(local).leftovers) == 2
    pruned = prune(local, older_than=DAY)
    assert pruned.leftovers == Amount(2, 8)
    assert sorted(files(local)) == sorted([new, claims[1]])


# links


def test_links_are_neither_followed_nor_counted_nor_removed(local: Cache, tmp_path: Path) -> None:
    outside = cache_at(tmp_path / "outside")
    for number in range(4):
        add_entry(outside, number, age=90 * DAY)
    add_entry(local, 9, age=90 * DAY)
    own = Path(local.store.path("v1"))
    theirs = tmp_path / "outside" / "v1"
    record, folder = record_path(key_of(0)), record_path(key_of(1)).rsplit("/", 1)[0]
    array = array_folder(outside.put(values_of(2)).digest)
    chunk = f"{array_folder(outside.put(values_of(3)).digest)}/c/0"
    for key in (record, folder, array, chunk):
        if not os.path.lexists(local.store.path(key)):
            os.makedirs(os.path.dirname(local.store.path(key)), exist_ok=True)
            os.symlink(outside.store.path(key), local.store.path(key))
    os.symlink(theirs, own / "again")
    os.symlink(tmp_path, local.store.path("v3"))
    os.symlink(own, own / "records" / "ff")  # round and round
    before = tree_hash(str(theirs))
    found = survey(local)
    assert sorted(found.links) == sorted([record, folder, array, chunk, "v1/again", "v1/records/ff", "v3"])
    assert list(found.entries) == [key_of(9)]
    assert found.size == sum(path.stat().st_size for path in own.rglob("*") if path.is_file() and not path.is_symlink())
    prune(local, older_than=0, max_size=0)
    assert tree_hash(str(theirs)) == before
    assert sorted(survey(local).links) == sorted(found.links)
    assert not survey(local).entries


@pytest.mark.parametrize("moved", ["v1", "v1/arrays", "v1/records"])
def test_a_part_that_was_moved_elsewhere_and_linked_is_left_alone(local: Cache, tmp_path: Path, moved: str) -> None:
    add_entry(local, 1, age=90 * DAY)
    shutil.move(local.store.path(moved), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", local.store.path(moved))
    before = tree_hash(str(tmp_path / "elsewhere"))
    assert there(local, 1), "it works as before"
    found = survey(local)
    assert found.links == [moved]
    assert not found.incomplete
    prune(local, older_than=100 * DAY)
    assert there(local, 1)
    prune(local, older_than=0, max_size=0)
    assert tree_hash(str(tmp_path / "elsewhere")) == before


def test_the_cache_itself_may_be_a_link(local: Cache, tmp_path: Path) -> None:
    add_entry(local, 1, age=90 * DAY)
    os.symlink(local.store.path(), tmp_path / "link")
    assert prune(cache_at(tmp_path / "link"), older_than=DAY).entries.count == 1
    assert not files(local)


def test_a_link_that_appears_meanwhile_is_not_followed(local: Cache, tmp_path: Path, monkeypatch: Any) -> None:
    add_entry(local, 1, age=90 * DAY)
    folder = Path(local.store.path(record_path(key_of(1)))).parent

    def moves(cache: Cache) -> Any:
        found = survey(cache)
        shutil.move(folder, tmp_path / "elsewhere")
        os.symlink(tmp_path / "elsewhere", folder)
        return found

    monkeypatch.setattr(cache_prune, "survey", moves)
    assert prune(local, max_size=0).entries.count == 0
    assert there(local, 1)
    assert os.listdir(tmp_path / "elsewhere") == [f"{key_of(1)}.json"]


# checking


def test_a_sound_cache(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, 3)
    grow(plan, cache, grain=60)
    cache.put(CELLS[:0])
    seen: list[tuple[int, int]] = []
    before = files(cache)
    found = verify(cache, lambda done, total: seen.append((done, total)))
    assert found.is_sound
    assert found.records.count + found.arrays.count == len(seen) + len(survey(cache).entries)
    assert found.records.size + found.arrays.size == sum(before.values())
    assert sorted(seen)[-1] == (found.arrays.size, found.arrays.size)
    assert files(cache) == before


def altered(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "record altered": ("record", altered, "Error: "),
    "record empty": ("record", lambda data: b"", "JSON"),
    "array altered": ("c/0", altered, "not what its name says"),
    "array cut": ("c/0", lambda data: data[:-4], "missing or has another size"),
    "array longer": ("c/0", lambda data: data + b"1234", "missing or has another size"),
    "metadata altered": ("zarr.json", altered, "zarr.json is damaged"),
    "metadata of another": ("zarr.json", lambda data: data.replace(b"[100]", b"[50]"), "another array"),
    "metadata foreign": ("zarr.json", lambda data: b"[1]", "zarr.json is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_mended_by_whoever_needs_it(cache: Cache, name: str) -> None:
    what, spoil, said = DAMAGE[name]
    add_entry(cache, 1)
    add_entry(cache, 2)
    folder = array_folder(cache.put(values_of(1)).digest)
    key = record_path(key_of(1)) if what == "record" else f"{folder}/{what}"
    cache.store.write(key, spoil(cache.store.read(key)))
    before = files(cache)
    found = verify(cache)
    assert not found.is_sound
    faults = [*found.incomplete, *found.damaged]
    assert all(key_of(1) in fault.stored.key or folder in fault.stored.key for fault in faults)
    assert said in faults[0].why
    assert files(cache) == before
    assert there(cache, 2)
    if what != "zarr.json":
        assert not there(cache, 1)
        add_entry(cache, 1)
        assert verify(cache).is_sound


@pytest.mark.parametrize("name", ["record altered", "array cut"])
def test_damaged_entries_are_removed_whatever_their_age(cache: Cache, name: str) -> None:
    what, spoil, _ = DAMAGE[name]
    add_entry(cache, 1)
    add_entry(cache, 2)
    key = record_path(key_of(1)) if what == "record" else f"{array_folder(cache.put(values_of(1)).digest)}/{what}"
    cache.store.write(key, spoil(cache.store.read(key)))
    with using(cache):
        pruned = prune(cache, older_than=DAY)
    assert pruned.damaged.count == (1 if what == "record" else 2)
    assert not survey(cache).damaged
    assert verify(cache).is_sound
    assert there(cache, 1, 2) == [2]
    add_entry(cache, 1)
    assert there(cache, 1, 2) == [1, 2]


def test_a_missing_array(cache: Cache) -> None:
    add_entry(cache, 1)
    cache.store.remove(array_folder(cache.put(values_of(1)).digest))
    (fault,) = verify(cache).incomplete
    assert "missing" in fault.why
    assert prune(cache, older_than=DAY).damaged.count == 1
    assert not files(cache)


def test_an_interrupted_array_is_no_damage(cache: Cache) -> None:
    ref = cache.put(values_of(1))
    cache.store.remove(f"{array_folder(ref.digest)}/c/0")
    assert verify(cache).is_sound
    set_age(cache, f"{array_folder(ref.digest)}/zarr.json", 2 * DAY)
    assert prune(cache, older_than=DAY).arrays.count == 1
    assert not files(cache)


def test_what_cannot_be_read_is_told_and_kept(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    add_entry(cache, 1, age=90 * DAY)
    read = Store.read

    def refuses(self: Store, key: str) -> bytes:
        if "/records/" in key:
            raise PermissionError(13, "Permission denied", key)
        return read(self, key)

    monkeypatch.setattr(Store, "read", refuses)
    found = verify(cache)
    assert found.unreadable == (record_path(key_of(1)),)
    assert not found.is_sound
    assert not found.damaged
    prune(cache, older_than=0, max_size=0)
    monkeypatch.undo()
    assert there(cache, 1)


# pruning

ENTRY = st.tuples(
    st.integers(2, 2000),  # hours since it was last used
    st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True),  # its arrays, which others may share
)


@settings(max_examples=60, deadline=None)
@given(
    place=st.sampled_from(["local", "memory"]),
    entries=st.lists(ENTRY, max_size=10),
    unnamed=st.lists(st.integers(0, 2000), max_size=3),
    older_than=st.none() | st.integers(0, 2000),
    share=st.none() | st.floats(0, 1.2),
    run=st.none() | st.integers(0, 1500),
    dry_run=st.booleans(),
)
def test_exactly_the_least_recently_used_go(
    tmp_path_factory: pytest.TempPathFactory,
    place: str,
    entries: list[tuple[int, list[int]]],
    unnamed: list[int],
    older_than: int | None,
    share: float | None,
    run: int | None,
    dry_run: bool,
) -> None:
    cache = new_cache(place, tmp_path_factory.mktemp("any"))
    cache.store.write("v1/records/readme.txt", b"precious")
    oldest_use = {array: max(age for age, arrays in entries if array in arrays)
                  for _, arrays in entries for array in arrays}  # fmt: skip
    for number, (age, arrays) in enumerate(entries):
        add_entry(cache, number, *(values_of(array, 10 + 300 * array) for array in arrays))
        set_age(cache, record_path(key_of(number)), age * HOUR)
    for array, age in oldest_use.items():
        set_array_age(cache, cache.put(values_of(array, 10 + 300 * array)), age * HOUR)
    for number, age in enumerate(unnamed):
        set_array_age(cache, cache.put(values_of(100 + number)), age * HOUR)
    lease = f"{LEASES}/{'ab' * 16}.json"
    if run is not None:
        started = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(NOW - run * HOUR))
        cache.store.write(lease, canonical_json({"host": "h", "pid": 1, "started": started}))

    before, whole = files(cache), survey(cache).size
    limit = None if share is None else int(whole * share)
    if older_than is None and limit is None:
        older_than = 100
    pruned = prune(cache, None if older_than is None else older_than * HOUR, limit, dry_run)
    after = files(cache)
    if dry_run:
        assert after == before
        assert pruned == prune(cache, None if older_than is None else older_than * HOUR, limit, True)
        prune(cache, None if older_than is None else older_than * HOUR, limit)
        after = files(cache)

    def size_without(gone: list[tuple[float, int]]) -> int:
        """What remains when these things have gone: numbers of entries, or -1 - that of an unnamed array."""
        numbers = {number for _, number in gone}
        left = {array for n, (_, arrays) in enumerate(entries) if n not in numbers for array in arrays}
        arrays = [*(values_of(array, 10 + 300 * array) for array in oldest_use.keys() - left),
                  *(values_of(99 - number) for number in numbers if number < 0)]  # fmt: skip
        keys = [record_path(key_of(number)) for number in numbers if number >= 0]
        folders = [array_folder(digest_array(values)) for values in arrays]
        keys += [key for key in before for folder in folders if key.startswith(folder)]
        return whole - sum(before[key] for key in keys)

    def order(thing: tuple[float, int]) -> tuple[float, str]:
        age, number = thing
        folder = array_folder(digest_array(values_of(99 - number)))
        return -age, record_path(key_of(number)) if number >= 0 else folder

    things = [(float(age), number) for number, (age, _) in enumerate(entries)]
    things += [(float(age), -1 - number) for number, age in enumerate(unnamed) if age > 0]
    expected: list[tuple[float, int]] = []
    for thing in sorted(things, key=order):
        too_old = older_than is not None and thing[0] >= older_than
        too_large = limit is not None and size_without(expected) > limit
        kept = run is not None and (place == "memory" or thing[0] <= run + 1)
        if kept or not (too_old or too_large):
            break
        expected.append(thing)
    gone = {number for _, number in expected}
    kept_numbers = [number for number in range(len(entries)) if number not in gone]
    assert sum(after.values()) - len(b"precious") == size_without(expected) == pruned.after
    assert {key for key in after if "/records/" in key} - {"v1/records/readme.txt"} == {
        record_path(key_of(number)) for number in kept_numbers
    }
    assert there(cache, *kept_numbers) == kept_numbers
    assert all(after[key] == before[key] for key in after)
    assert "v1/records/readme.txt" in after
    assert (lease in after) == (run is not None)
    assert verify(cache).is_sound
    if place == "local":  # no empty folder where an array was
        folders = [path for path in Path(cache.store.path("v1/arrays")).glob("*/*") if path.is_dir()]
        assert all((folder / "zarr.json").exists() for folder in folders)


def test_a_limit_is_needed(cache: Cache) -> None:
    with pytest.raises(ValueError, match="older_than"):
        prune(cache)


def test_an_array_that_was_just_put_is_about_to_be_named(cache: Cache) -> None:
    cache.put(values_of(1))
    pruned = prune(cache, max_size=0)
    assert len(files(cache)) == 2
    assert "kept for an hour" in pruned.notices[0]
    assert "remain" in pruned.notices[1]


def test_reading_makes_an_entry_young(local: Cache) -> None:
    add_entry(local, 1, age=90 * DAY)
    add_entry(local, 2, age=90 * DAY)
    assert there(local, 2)
    prune(local, older_than=30 * DAY)
    assert there(local, 1, 2) == [2]


@pytest.mark.parametrize("used", ["entry", "array"])
def test_what_is_used_between_looking_and_removing_stays(local: Cache, used: str, monkeypatch: Any) -> None:
    add_entry(local, 1, age=90 * DAY)

    def looks(cache: Cache) -> Any:
        found = survey(cache)
        if used == "entry":
            assert there(cache, 1)
        else:
            cache.put(values_of(1))
        return found

    monkeypatch.setattr(cache_prune, "survey", looks)
    pruned = prune(local, max_size=0)
    monkeypatch.undo()
    assert pruned.arrays.count == 0
    assert (pruned.entries.count, there(local, 1)) == ((0, [1]) if used == "entry" else (1, []))
    assert len(survey(local).arrays) == 1


def test_a_run_that_begins_meanwhile_stops_it(cache: Cache, monkeypatch: Any) -> None:
    for number in range(4):
        add_entry(cache, number, age=90 * DAY)
    removed = []
    monkeypatch.setattr(cache_prune, "TOGETHER", 1)
    real = stored_objects.remove_unless_touched

    def begins(store: Store, stored: Any) -> bool:
        cache.store.write(f"{LEASES}/{'ab' * 16}.json", b"{}")
        removed.append(stored.key)
        return real(store, stored)

    monkeypatch.setattr(cache_prune, "remove_unless_touched", begins)
    pruned = prune(cache, max_size=0)
    assert len(removed) == pruned.entries.count == 1
    assert "a run has begun" in " ".join(pruned.notices)
    assert len(pruned.notices) == len(set(pruned.notices))
    assert len(there(cache, 0, 1, 2, 3)) == 3
    assert len(survey(cache).arrays) == 4


def test_what_cannot_be_removed_is_told_and_keeps_its_arrays(cache: Cache, monkeypatch: Any) -> None:
    for number in range(30):
        add_entry(cache, number, age=90 * DAY)
    real = stored_objects.remove_unless_touched

    def refuses(store: Store, stored: Any) -> bool:
        if stored.key != record_path(key_of(7)):
            raise PermissionError(13, "Permission denied", stored.key)
        return real(store, stored)

    monkeypatch.setattr(cache_prune, "remove_unless_touched", refuses)
    pruned = prune(cache, max_size=0)
    assert len(pruned.failures) >= cache_prune.MOST_FAILURES
    assert pruned.failures[0].endswith("Permission denied")
    assert len(there(cache, *range(30))) >= 29


def test_notes_of_datasets_go_with_the_last_of_what_they_name(cache: Cache) -> None:
    add_entry(cache, 1, age=90 * DAY)
    add_entry(cache, 2)
    cache.store.write("v1/datasets/" + "ab" * 16 + ".json", b"no note")
    paths = [note(cache, name, "o", keys, []) for name, keys in (("a", [key_of(1)]), ("b", [key_of(1), key_of(2)]))]
    assert len(survey(cache).damaged) == 1
    prune(cache, older_than=DAY)
    assert [key for key in files(cache) if key.startswith(DATASETS)] == [paths[1]]


def test_after_pruning_everything_the_same_is_computed_again(cache: Cache) -> None:
    first = grow(plan_for(cache, CELLS, 3), cache, grain=60)
    assert first.executed
    pruned = prune(cache, max_size=0, now=time.time() + 2 * HOUR)
    assert pruned.after == 0
    assert not files(cache)
    again = grow(plan_for(cache, CELLS, 3), cache, grain=60)
    assert again.labels() == first.labels()
    assert sorted(again.executed) == sorted(first.executed)
    assert not grow(plan_for(cache, CELLS, 3), cache, grain=60).executed


def test_a_folder_that_is_removed_while_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir, refused = os.mkdir, list[str]()

    def removed_just_after(path: str, mode: int = 0o777) -> None:
        if refused:
            return mkdir(path, mode)
        refused.append(path)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "mkdir", removed_just_after)
    store = Store(str(tmp_path))
    store.write("folder/object", b"1")
    assert refused
    assert store.read("folder/object") == b"1"
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        store.write("file/object", b"1")


def test_pruning_beside_readers_and_writers_never_gives_a_wrong_value(local: Cache) -> None:
    numbers, failures, until = range(12), [], time.monotonic() + 4
    found_or_made = {"found": 0, "made": 0}

    def works(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            while time.monotonic() < until:
                number = int(rng.choice(numbers))
                expected = values_of(number)
                record = local.find(key_of(number), "split")
                if record is not None:
                    try:
                        values = local.array(record, "a0")
                    except DamagedEntry:
                        record = None  # removed between the two: computed again
                    else:
                        assert (values == expected).all()
                if record is None:
                    add_entry(local, number)
                found_or_made["made" if record is None else "found"] += 1
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=works, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        prune(local, max_size=0)
    assert not failures
    assert min(found_or_made.values()) > 10
    for number in numbers:
        add_entry(local, number)
    assert there(local, *numbers) == list(numbers)
    assert not survey(local).damaged
