"""What a cache in a bucket has is learnt at once, and jobs do not ask for what it lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellstrata.tasks.cache import known_entries as listing
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.known_entries import KnownEntries
from cellstrata.tasks.cache.recent_entries import listed_as
from cellstrata.tasks.stores.store import Store
from tests.tasks.small import cache_at

KEYS = [f"{i:064x}" for i in range(0, 5 * 2**240, 2**240)]  # in five folders


def filled(url: str, keys: list[str]) -> Cache:
    cache = Cache(Store.at(url))
    for key in keys:
        cache.write_record("split", key, {"n": 1}, {"labels": np.zeros(3, np.int32)})
    return cache


def test_a_listing_has_what_there_is_and_what_the_run_has_seen_since(s3: str) -> None:
    empty = KnownEntries(Cache(Store.at(f"{s3}/none")).for_run())
    assert empty.entries() == frozenset()
    cache = filled(f"{s3}/cache", KEYS[:3]).for_run()
    found = KnownEntries(cache)
    assert found.entries() == {listed_as(key) for key in KEYS[:3]}
    cache.write_record("split", KEYS[3], {"n": 1})
    shared = KnownEntries.of(cache)
    assert KnownEntries.of(cache.for_run()) is shared  # the data sets of a run ask together
    found.saw(KEYS[3:4])
    filled(f"{s3}/cache", KEYS[4:])  # by another run, meanwhile
    assert found.entries() == {listed_as(key) for key in KEYS[:4]}


def test_the_cache_behind_is_listed_too(s3: str) -> None:
    filled(f"{s3}/behind", KEYS[:2])
    both = Cache(filled(f"{s3}/cache", KEYS[2:3]).store, Store.at(f"{s3}/behind"))
    assert KnownEntries(both.for_run()).entries() == {listed_as(key) for key in KEYS[:3]}


def test_where_looking_costs_nothing_or_there_is_too_much_nothing_is_listed(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KnownEntries(cache_at(tmp_path).for_run()).entries() is None
    cache = filled(f"{s3}/cache", KEYS).for_run()
    monkeypatch.setattr(listing, "MOST", 4)
    assert KnownEntries(cache).entries() is None
    with monkeypatch.context() as patched:
        patched.setattr(listing, "FOLDERS", 1)
        assert KnownEntries(cache).entries() is None  # known only when all are there

    def denied(*_: object) -> None:
        raise PermissionError("only reading is allowed")

    monkeypatch.setattr(Store, "list", denied)
    assert KnownEntries(cache).entries() is None


def test_a_job_asks_only_for_what_is_listed(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = filled(f"{s3}/cache", KEYS[:2])
    listed = KnownEntries(cache.for_run()).entries()
    asked: list[str] = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda store, key: (asked.append(key), read(store, key))[1])
    with cache.for_job(listed) as job:
        job.look_ahead(KEYS)
        found = [job.find(key, "split") is not None for key in KEYS]
        assert found == [True, True, False, False, False]
        assert len(asked) == 2
        job.write_record("split", KEYS[4], {"n": 1})
        assert job.find(KEYS[4], "split") is not None  # written since by the job itself
    with cache.for_job() as job:
        job.look_ahead(KEYS[:4])
        assert len(asked) == 6
