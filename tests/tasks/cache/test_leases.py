"""Leases: who uses a cache, and that nobody who is gone is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cellstrata.tasks.cache import leases
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.leases import LEASES, PACE, live_leases, using
from cellstrata.tasks.cache_care.prune import prune
from cellstrata.tasks.stores.heartbeat import Pace
from cellstrata.tasks.stores.store import Store
from tests import ROOT
from tests.tasks.slow_renewals import HeldUp
from tests.tasks.small import cache_at
from tests.tasks.small_caches import DAY, add_entry, files, new_cache, set_age, there

DEAD_AFTER = PACE.dead_after


@pytest.fixture(params=["local", "memory"])
def cache(request: Any, tmp_path: Path) -> Cache:
    return new_cache(request.param, tmp_path)


def test_a_lease_lasts_as_long_as_its_block(cache: Cache) -> None:
    before = time.time()
    with using(cache):
        (lease,) = live_leases(cache)
        assert lease.pid == os.getpid()
        assert before - 1 <= lease.started <= time.time()
        with using(cache):
            assert len(live_leases(cache)) == 2
    assert not files(cache)
    with pytest.raises(ZeroDivisionError), using(cache):
        raise ZeroDivisionError
    assert not files(cache)


def test_it_is_renewed(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PACE", Pace(0.02, DEAD_AFTER))
    with using(cache):
        (path,) = files(cache)
        started = live_leases(cache)[0].started
        set_age(cache, path, DEAD_AFTER + 5)
        until = time.monotonic() + 10
        while not live_leases(cache) and time.monotonic() < until:
            time.sleep(0.01)
        assert [lease.started for lease in live_leases(cache)] == [started]


def test_a_renewal_that_takes_longer_than_the_run_leaves_nothing(
    cache: Cache, held_up: HeldUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PACE", Pace(0.01, DEAD_AFTER))
    with using(cache):
        held_up.begin()
    held_up.let_go("cellstrata-lease")
    assert not files(cache)


@pytest.mark.parametrize("age", [DEAD_AFTER + 5, 400 * DAY, -400 * DAY])
def test_one_that_is_not_renewed_counts_for_nothing(cache: Cache, age: float) -> None:
    with using(cache):
        (path,) = files(cache)
        set_age(cache, path, age)
        assert not live_leases(cache)
        add_entry(cache, 1, age=60)
        assert prune(cache, max_size=0).entries.count == 1
        assert not files(cache)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"host": "h", "pid": "x", "started": 3}', b"\xff"])
def test_one_that_says_nothing_protects_all_while_it_is_new(cache: Cache, text: bytes) -> None:
    add_entry(cache, 1, age=90 * DAY)
    path = f"{LEASES}/{'ab' * 16}.json"
    cache.store.write(path, text)
    pruned = prune(cache, older_than=DAY)
    assert len(files(cache)) == 4
    assert "a run uses this cache" in pruned.notices[0]
    set_age(cache, path, DEAD_AFTER + 5)
    prune(cache, older_than=DAY)
    assert not files(cache)


def test_a_cache_that_cannot_be_written_to_is_used_without(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(leases, "PACE", Pace(0.01, DEAD_AFTER))
    monkeypatch.setattr(Store, "write", fails)
    monkeypatch.setattr(Store, "remove", fails)
    with using(cache):
        time.sleep(0.05)
    assert not files(cache)


HOLDER = """
import sys, time
from cellstrata.tasks.cache.leases import using
from tests.tasks.small import cache_at
with using(cache_at(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_run_that_is_killed_blocks_nobody(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    add_entry(cache, 1, age=60)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "cache")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGKILL)
    (lease,) = live_leases(cache)
    assert lease.pid == holder.pid
    prune(cache, max_size=0)
    assert there(cache, 1), "it may still run"
    set_age(cache, lease.stored.key, DEAD_AFTER + 5)
    assert not live_leases(cache)
    with using(cache):  # and nobody waits
        assert [one.pid for one in live_leases(cache)] == [os.getpid()]
    prune(cache, max_size=0)
    assert not files(cache)


def test_where_there_was_no_cache_none_is_left(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "not" / "there" / "cache")
    with using(cache):
        assert live_leases(cache)
        with using(cache):
            pass
        assert len(live_leases(cache)) == 1
    assert not list(tmp_path.iterdir())
    with using(cache):
        add_entry(cache, 1)
    assert there(cache, 1) == [1]
    (tmp_path / "mine").mkdir()
    with using(cache_at(tmp_path / "mine")):
        pass
    assert not list((tmp_path / "mine").iterdir())
