"""Writes that go on behind the splits: in order where it matters, and no failure is lost."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from cellstrata.tasks.cache import writes_behind as writing
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.writes_behind import WritesBehind
from cellstrata.tasks.stores.requests import WRITES
from cellstrata.tasks.stores.store import Store

ARRAY = np.arange(100_000)


def test_the_last_waits_for_those_before_it() -> None:
    written: list[int] = []

    def slowly(number: int) -> None:
        time.sleep(0.02)
        written.append(number)

    with WritesBehind() as writes:
        for round_ in range(3 * WRITES):  # more that wait than there are threads
            writes.submit(lambda number=round_: slowly(number))  # type: ignore[misc]
            writes.submit_last(lambda number=round_: written.append(1000 + number))  # type: ignore[misc]
        writes.settle()
    for round_ in range(3 * WRITES):
        assert set(range(round_ + 1)) <= set(written[: written.index(1000 + round_)])


def test_an_array_can_be_had_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()
    with WritesBehind() as writes:
        writes.submit_array("d", ARRAY, lambda: may_write.wait(10) and None)
        assert writes.array("d") is ARRAY
        may_write.set()
        writes.settle()
        assert writes.array("d") is None
        monkeypatch.setattr(writing, "LARGE", 10)
        done: list[str] = []
        writes.submit_array("e", ARRAY, lambda: done.append("written"))
        assert (done, writes.array("e")) == (["written"], None)


def written(cache: Cache) -> np.ndarray[Any, Any]:
    """Write an entry whose array lies beside it; returns that, as it was had before it was there."""
    with cache.for_job() as job:
        record = job.write_record("graph", "k" * 64, {"n_cells": 1}, {"edges": ARRAY})
        pending = job.array(record, "edges")
        job.settle()
    return pending


def test_a_record_is_not_written_when_its_arrays_were_not(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(Store.at(f"{s3}/cache"))
    write = Store.write

    def refuse_arrays(store: Store, key: str, data: bytes) -> None:
        if "/arrays/" in key:
            raise PermissionError("no arrays here")
        write(store, key, data)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write", refuse_arrays)
        with pytest.raises(PermissionError):  # as soon as it is known
            written(cache)
    assert cache.read_record("k" * 64) is None
    pending = written(cache)
    assert not pending.flags.writeable
    assert ARRAY.flags.writeable
    found = cache.read_record("k" * 64)
    assert found is not None
    np.testing.assert_array_equal(cache.array(found, "edges"), ARRAY)
