"""The block under which Prefect knows a cache: saved by many at once on a server that has never seen it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from prefect.exceptions import ObjectAlreadyExists

from cellstrata.flows.caching import ATTEMPTS, CellstrataCache, cache_block
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees.jobs import Job, JobReport, jobs_key, run_job
from cellstrata.tasks.trees.split import node_key, root_node
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import blobs, cache_at, plan_for


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


def test_entries_that_go_together_are_answered_together_or_not_at_all(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    plan = plan_for(cache, blobs([60, 40])[0], 2)
    jobs = []
    for seed in (0, 1):
        seeded = replace(plan, partition=replace(plan.partition, seed=seed))
        node = Tree(seeded).open(root_node(seeded))
        assert node is not None
        jobs.append(Job(key=node_key(seeded, node, cache), plan=seeded, nodes=(node,), cache=cache))
    for job in jobs:
        run_job(job)
    block = CellstrataCache(url=cache.store.url)
    key = jobs_key(jobs)
    assert jobs_key(jobs[:1]) == jobs[0].key
    assert key not in {job.key for job in jobs}
    with pytest.raises(KeyError):
        block.read_path(key)  # not held together yet
    block.hold_together(key, [job.key for job in jobs])
    reports = [JobReport.from_json(each) for each in json.loads(json.loads(block.read_path(key))["result"])]
    assert [report.key for report in reports] == [job.key for job in jobs]
    assert not any(report.executed for report in reports)
    next(tmp_path.rglob(f"{jobs[1].key}.json")).write_bytes(b"{")
    with pytest.raises(KeyError):
        block.read_path(key)
    assert block.read_path(jobs[0].key)
