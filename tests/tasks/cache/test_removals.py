"""Removals: a run that begins while a cache is made smaller waits, and nobody who is gone is waited for."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellstrata.tasks.cache import removals
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.leases import live_leases, using
from cellstrata.tasks.cache.removals import PACE, REMOVALS, removing
from cellstrata.tasks.cache_care import prune as cache_prune
from cellstrata.tasks.cache_care.prune import prune
from cellstrata.tasks.cache_care.survey import survey
from cellstrata.tasks.stores import objects as stored_objects
from cellstrata.tasks.stores.digest import canonical_json
from cellstrata.tasks.stores.heartbeat import Pace, own_process
from cellstrata.tasks.stores.store import Store
from tests.tasks.slow_renewals import HeldUp
from tests.tasks.small_caches import DAY, add_entry, files, new_cache, set_age, there

LATER = 20  # s that a test waits at most


@pytest.fixture(params=["local", "memory"])
def cache(request: Any, tmp_path: Path) -> Cache:
    return new_cache(request.param, tmp_path)


class Beginning:
    """A run that begins in a thread of its own."""

    def __init__(self, cache: Cache, look: Callable[[], object] = lambda: None) -> None:
        self.began, self._end, self._look = threading.Event(), threading.Event(), look
        self.seen: object = None
        self._thread = threading.Thread(target=self._run, args=(cache,))
        self._thread.start()

    def _run(self, cache: Cache) -> None:
        with using(cache):
            self.seen = self._look()
            self.began.set()
            self._end.wait(LATER)

    def end(self) -> None:
        self._end.set()
        self._thread.join(LATER)


def until_leased(cache: Cache) -> None:
    until = time.monotonic() + LATER
    while not live_leases(cache):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_run_begins_when_a_removal_has_ended(cache: Cache, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(removals, "SAID_AFTER", 0.0)
    with caplog.at_level(logging.WARNING), removing(cache.store):
        run = Beginning(cache)
        until_leased(cache)
        assert not run.began.wait(3 * removals.LOOK_EVERY)
    assert run.began.wait(LATER)
    run.end()
    assert "which removes entries from the cache" in caplog.text
    assert not files(cache)


def test_what_a_run_reads_at_its_beginning_is_not_removed(cache: Cache, monkeypatch: Any) -> None:
    """It begins just after the last look for runs, and before the removal: the narrowest moment."""
    numbers = range(4)
    for number in numbers:
        add_entry(cache, number, age=90 * DAY)
    real, runs = stored_objects.remove_unless_touched, []

    def begins(store: Store, stored: Any) -> bool:
        if not runs:
            runs.append(Beginning(cache, lambda: there(cache, *numbers)))
            until_leased(cache)
            runs[0].began.wait(3 * removals.LOOK_EVERY)
        return real(store, stored)

    monkeypatch.setattr(cache_prune, "TOGETHER", 1)
    monkeypatch.setattr(cache_prune, "remove_unless_touched", begins)
    pruned = prune(cache, max_size=0)
    assert runs[0].began.wait(LATER)
    assert pruned.entries.count == 1
    assert len(runs[0].seen) == 3  # type: ignore[arg-type]
    assert there(cache, *numbers) == runs[0].seen
    runs[0].end()


def test_a_dry_run_keeps_nobody_waiting(cache: Cache, monkeypatch: Any) -> None:
    add_entry(cache, 1, age=90 * DAY)
    monkeypatch.setattr(cache_prune, "removing", lambda _: pytest.fail("it says that it removes"))
    assert prune(cache, max_size=0, dry_run=True).entries.count == 1


@pytest.mark.parametrize("age", [PACE.dead_after + 5, 400 * DAY, -400 * DAY])
def test_one_that_is_not_renewed_counts_for_nothing(cache: Cache, age: float) -> None:
    path = f"{REMOVALS}/{'ab' * 16}.json"
    cache.store.write(path, canonical_json({"host": "another", "pid": 1}))
    set_age(cache, path, age)
    with using(cache):
        pass
    set_age(cache, path, 2 * DAY)
    add_entry(cache, 1, age=90 * DAY)
    assert not survey(cache).foreign
    prune(cache, older_than=DAY)
    assert not files(cache)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff"])
def test_one_that_says_nothing_is_not_waited_for(cache: Cache, text: bytes, monkeypatch: Any) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    cache.store.write(f"{REMOVALS}/{'ab' * 16}.json", text)
    with using(cache):
        pass


def test_one_whose_process_is_gone_is_not_waited_for(cache: Cache, monkeypatch: Any) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    sign = own_process() | {"pid": gone.pid}
    cache.store.write(f"{REMOVALS}/{'ab' * 16}.json", canonical_json(sign))
    with using(cache):
        pass


def test_nobody_waits_for_ever(cache: Cache, monkeypatch: Any) -> None:
    monkeypatch.setattr(removals, "LONGEST", 0.3)
    with removing(cache.store), using(cache):
        pass


def test_it_is_renewed_and_leaves_nothing(cache: Cache, held_up: HeldUp, monkeypatch: Any) -> None:
    monkeypatch.setattr(removals, "PACE", Pace(0.01, PACE.dead_after))
    with removing(cache.store):
        held_up.begin()
    held_up.let_go("cellstrata-removal")
    assert not files(cache)


def test_a_full_disk_can_be_made_emptier(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    add_entry(cache, 1, age=90 * DAY)

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write", fails)
    assert prune(cache, max_size=0).entries.count == 1


def test_a_cache_that_cannot_be_looked_at_is_not_waited_for(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise PermissionError("not to be listed")

    monkeypatch.setattr(removals, "list_objects", fails)
    with using(cache):
        pass
