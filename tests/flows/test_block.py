"""The block under which Prefect knows a cache: saved by many at once on a server that has never seen it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prefect.exceptions import ObjectAlreadyExists

from flows.caching import ATTEMPTS, CellstrataCache, cache_block
from tasks.cache import Cache
from tasks.store import Store


def test_datasets_that_start_together_register_its_type_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most = 0, 0
    guard, registered = threading.Lock(), threading.Event()

    def save(self: CellstrataCache, name: str, overwrite: bool, _sync: bool) -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        registered.wait(0.02)
        with guard:
            inside -= 1

    monkeypatch.setattr(CellstrataCache, "save", save)
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(cache_block, [Cache(Store(str(tmp_path)))] * 8))) == 8
    assert most == 1


@pytest.mark.parametrize("refusals", [1, ATTEMPTS])
def test_another_run_that_registers_it_meanwhile_is_no_failure(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def save(self: CellstrataCache, name: str, overwrite: bool, _sync: bool) -> None:
        nonlocal tried
        tried += 1
        if tried <= refusals:
            raise ObjectAlreadyExists(http_exc=ValueError("409"))

    monkeypatch.setattr(CellstrataCache, "save", save)
    if refusals < ATTEMPTS:
        cache_block(Cache(Store(str(tmp_path))))
        assert tried == refusals + 1
    else:
        with pytest.raises(ObjectAlreadyExists):
            cache_block(Cache(Store(str(tmp_path))))
