from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellstrata.tasks.cache import claims
from cellstrata.tasks.cache.claims import Claims
from cellstrata.tasks.stores.heartbeat import Pace
from cellstrata.tasks.stores.store import Store
from tests import ROOT
from tests.tasks.slow_renewals import HeldUp
from tests.tasks.small import cache_at


def test_one_has_it_at_a_time(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    with Claims(cache) as first, Claims(cache) as second:
        assert first.take("k")
        assert not first.take("k")  # it is under way here
        assert not second.take("k")
        assert second.take("other")
        first.release("k")
        assert second.take("k")
        first.release("k")  # not its own any more
        assert not first.take("k")
    assert Claims(cache).take("k")
    assert os.listdir(tmp_path / "v1/claims") == ["k.json"]


def test_of_many_that_ask_at_once_one_has_it(tmp_path: Path) -> None:
    cache, together = cache_at(tmp_path), threading.Barrier(8)
    runs = [Claims(cache) for _ in range(8)]

    def ask(claims: Claims) -> int:
        together.wait()
        return sum(claims.take(f"k{number}") for number in range(50))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, runs)) == 50
    assert len(os.listdir(tmp_path / "v1/claims")) == 50  # and nothing half written


def test_the_dead_have_no_claims(tmp_path: Path) -> None:
    script = (
        "import os, sys; from tests.tasks.small import cache_at; from cellstrata.tasks.cache.claims import Claims\n"
        "assert Claims(cache_at(sys.argv[1])).take('k'); os.kill(os.getpid(), 9)"
    )
    root = ROOT
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -9
    claim = json.loads((tmp_path / "v1/claims/k.json").read_text())
    assert claim["pid"] != os.getpid()
    assert Claims(cache_at(tmp_path)).take("k")


def test_another_machines_claim_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_at(tmp_path)
    path = "v1/claims/k.json"
    for age, free in ((0.0, False), (claims.PACE.dead_after + 1, True), (-3600.0, True), (float("nan"), True)):
        claim = {"run": "x", "host": "elsewhere", "pid": 1, "time": time.time() - age}
        cache.store.write(path, json.dumps(claim).encode())
        assert Claims(cache).take("k") is free
    for rubbish in (b"", b"[]", b'{"run": 1}', b"\x00\xff", b'{"run": "x", "host": 1, "pid": 1e99, "time": []}'):
        cache.store.write(path, rubbish)
        assert Claims(cache).take("k")
    monkeypatch.setattr(claims, "PACE", Pace(0.05, 30.0))
    with Claims(cache) as own:
        own.take("k2")
        first = json.loads(cache.store.read("v1/claims/k2.json"))["time"]
        time.sleep(0.3)
        assert json.loads(cache.store.read("v1/claims/k2.json"))["time"] > first


@pytest.mark.parametrize("give_up", [Claims.release, Claims.finish])
def test_a_claim_given_up_while_it_is_renewed_does_not_come_back(
    give_up: Callable[[Claims, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_at(tmp_path)
    write = Store.write

    def slow(store: Store, key: str, data: bytes) -> None:
        give_up(own, "k")  # between the look at what is held and the writing of it
        write(store, key, data)

    with Claims(cache) as own:
        assert own.take("k")
        assert own.take("kept")
        monkeypatch.setattr(Store, "write", slow)
        own._renew()
        assert cache.store.list("v1/claims") == ["kept.json"]


def test_a_renewal_that_takes_longer_than_the_run_leaves_nothing(
    s3: str, held_up: HeldUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PACE", Pace(0.01, 30.0))
    cache = cache_at(f"{s3}/cache")
    with Claims(cache) as own:
        assert own.take("failed")
        assert own.take("done")
        held_up.begin()
        own.finish("done")
    held_up.let_go("cellstrata-claims")
    assert not cache.store.list("v1/claims")


@pytest.mark.parametrize("error", [PermissionError("read-only"), RuntimeError("whatever a bucket raises")])
def test_a_cache_that_cannot_be_written_hinders_nobody(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_at(tmp_path)

    def refuse(*_: object) -> None:
        raise error

    for method in ("write", "create", "remove"):
        monkeypatch.setattr(type(cache.store), method, refuse)
    before = set(threading.enumerate())  # other tests of this process left fsspec's and moto's
    with Claims(cache) as own:
        assert own.take("k")
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_claim_in_a_bucket_that_is_done_stays_until_the_run_ends(s3: str) -> None:
    cache = cache_at(f"{s3}/cache")
    with Claims(cache) as own:
        assert own.take("done")
        assert own.take("failed")
        own.finish("done")
        own.release("failed")
        other = Claims(cache)
        assert not other.take("done")  # so that it looks for the entry again
        assert other.met
        assert other.take("failed")
        assert not own.met
    assert cache.store.list("v1/claims") == ["failed.json"]


def test_a_claim_in_a_bucket_that_was_done_long_ago_says_that_the_entry_may_be_there(
    s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not renewed, which would cost requests: whoever takes it over looks the entry up once."""
    cache = cache_at(f"{s3}/cache")
    with Claims(cache) as first, Claims(cache) as second:
        assert first.take("done")
        assert not first.left("done")
        first.finish("done")
        now = time.time()
        monkeypatch.setattr(claims.time, "time", lambda: now + claims.PACE.dead_after + 1)
        assert second.take("done")
        assert second.left("done")
        assert not second.met  # of other entries nothing is known
        second.release("done")
        assert second.take("done")
        assert not second.left("done")
