"""The block under which Prefect knows a cache: saved by many at once on a server that has never seen it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prefect.exceptions import ObjectAlreadyExists

from cellstrata.flows.caching import ATTEMPTS, CellstrataCache, cache_block
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.store import Store


def test_datasets_that_start_together_register_its_type_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most, saved = 0, 0, list[str]()
    guard, registered = threading.Lock(), threading.Event()

    def save(self: CellstrataCache, name: str, overwrite: bool, _sync: bool) -> str:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        registered.wait(0.02)
        with guard:
            inside -= 1
            saved.append(name)
        return f"id of {name}"

    monkeypatch.setattr(CellstrataCache, "save", save)
    caches = [Cache(Store(f"{tmp_path}/{number % 4}")) for number in range(16)]
    ids: dict[str, str] = {}
    with ThreadPoolExecutor(8) as pool:
        blocks = list(pool.map(lambda cache: cache_block(cache, ids), caches))
    assert most == 1
    assert len(saved) == len(set(saved)) == 4, "one document serves all data sets over one cache"
    for block, cache in zip(blocks, caches, strict=True):
        assert block.url == cache.store.url
    known = [block for block in blocks if block._block_document_id is not None]  # the others' own save sets it
    assert len(known) == 12
    assert all(block._block_document_id == f"id of {block._block_document_name}" for block in known)


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
        cache_block(Cache(Store(str(tmp_path))), {})
        assert tried == refusals + 1
    else:
        with pytest.raises(ObjectAlreadyExists):
            cache_block(Cache(Store(str(tmp_path))), {})
