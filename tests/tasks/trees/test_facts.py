"""The facts of splits as JSON: records of this revision and of older ones, and those that do not fit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import Record, parse_record
from cellstrata.tasks.kernels.gpu_check import GpuCheck
from cellstrata.tasks.stores.json_values import JsonObject, WrongJson
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.jobs import JobReport
from cellstrata.tasks.trees.split import find_split, root_node, split
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import CELLS, cache_at, plan_for

# As the revision 4e15628 wrote it: a cluster of 21 cells in two.
KEY = "344aed5295257eadf426c7fccc3fcde3"
WRITTEN = (
    b'{"body":{"algorithm":"leiden","arrays":{"labels":{"digest":"1160056e13c1c45f60564ffeba3a8e02","dtype":"<i4","sha'
    b'pe":[21]}},"asked_engine":"igraph 1.0.0","cells":"f4d78400e94498c9f3e094fb2b4dba74","children":["9ae104c0fecdf2e'
    b'deac25e85f2e4818a","15b070885cebe29fa850f0c08171ecd9"],"created":"2026-11-28T20:16:10+00:00","engine":"igraph","'
    b'engine_reason":"asked for","engine_version":"igraph 1.0.0","fallback":null,"gpu_check":null,"graph":"5e17cfdaa03'
    b'efee5b06076f22ca6bcf5","graph_built":true,"method":"faiss-1.15.1-exact","metric":"euclidean","modularity":0.2644'
    b'0592313735123,"n_cells":21,"n_edges":115,"n_iterations":2,"n_neighbors":10,"note":null,"quality":0.5261494403387'
    b'198,"resolution":0.5,"seconds":0.02,"seed":0,"sizes":[12,9],"use_weights":true},"digest":"4c29f1ff3a997fa914b512'
    b'df026d6dd3","inline":{"labels":"AAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAAAAAAAAAAEAAAABAAAAAAAAAAEAAAAAAAAA'
    b'AQAAAAAAAAAAAAAAAQAAAAAAAAAAAAAA"},"key":"344aed5295257eadf426c7fccc3fcde3","kind":"split","scheme":1}'
)
# What came later than the first revision.
ENSEMBLE = {"runs": 8, "agreement": 0.5, "cores": (9, 3, 2), "stability": (0.9, 0.4)}
ADDED = {"cells", "graph_built", "engine_reason", "asked_engine", "fallback", "gpu_check", *ENSEMBLE}
CHECK = GpuCheck(engine="igraph 1.0.0", modularity_gap=-0.001, ari=0.75, n_clusters_gpu=2, n_clusters_cpu=3)


def body() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(WRITTEN)["body"]
    return found


def facts() -> SplitFacts:
    return SplitFacts.from_json(body())


def test_a_record_of_4e15628_is_read_and_written_byte_for_byte() -> None:
    record = parse_record(WRITTEN, KEY)
    assert record is not None
    found = SplitFacts.from_json(record.body)
    assert (found.n_cells, found.sizes, found.n_iterations, found.metric) == (21, (12, 9), 2, "euclidean")
    again = {"arrays": record.body["arrays"], **found.to_json()}
    assert Record("split", KEY, again, record.inline).to_bytes() == WRITTEN


@pytest.mark.parametrize(
    "said",
    [facts(), replace(facts(), gpu_check=CHECK, fallback="out of memory"), replace(facts(), children=None, note="none"),
     replace(facts(), n_neighbors=None, metric=None, algorithm="louvain", n_iterations=None),
     replace(facts(), **ENSEMBLE)],
)  # fmt: skip
def test_facts_survive_the_way_through_json(said: SplitFacts) -> None:
    assert SplitFacts.from_json(json.loads(json.dumps(said.to_json()))) == said


def test_what_older_revisions_did_not_tell_is_none() -> None:
    older = SplitFacts.from_json({name: value for name, value in body().items() if name not in ADDED})
    assert older == replace(facts(), **dict.fromkeys(ADDED))  # type: ignore[arg-type]


def test_what_newer_revisions_add_is_passed_over() -> None:
    assert SplitFacts.from_json({**body(), "colour": ["blue"], "threads": 7}) == facts()


@pytest.mark.parametrize("name", sorted({each.name for each in fields(SplitFacts)} - ADDED))
def test_what_every_revision_tells_is_required_unless_it_may_be_null(name: str) -> None:
    without = {key: value for key, value in body().items() if key != name}
    if name in ("note", "n_neighbors", "metric", "n_iterations", "children"):
        assert getattr(SplitFacts.from_json(without), name) is None
        return
    with pytest.raises(WrongJson, match=f"'{name}' is missing"):
        SplitFacts.from_json(without)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_cells", "21"), ("n_cells", True), ("n_cells", 21.0), ("sizes", 21), ("sizes", [12, "9"]), ("sizes", [True]),
     ("modularity", "0.2"), ("modularity", False), ("algorithm", "kmeans"), ("use_weights", 1), ("children", ["a", 1]),
     ("graph_built", "yes"), ("engine", 3), ("gpu_check", [1]), ("gpu_check", {"ari": 1.0})],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(WrongJson, match="engine" if value == {"ari": 1.0} else name if value != [1] else "list"):
        SplitFacts.from_json({**body(), name: value})


def test_whole_numbers_may_stand_for_others() -> None:
    assert SplitFacts.from_json({**body(), "resolution": 1, "seconds": 0}).resolution == 1.0


def test_an_entry_without_its_facts_is_computed_again(tmp_path: Any, caplog: Any) -> None:
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CELLS)
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    first = split(plan, pending, cache)
    assert first.computed
    assert find_split(cache, first.key) == replace(first, computed=False)
    assert not split(plan, pending, cache).computed
    _write(cache, first.record, {name: value for name, value in first.record.body.items() if name != "sizes"})
    assert find_split(cache, first.key) is None
    assert f"{first.key} in {cache.store.url} is damaged ('sizes' is missing): computed again" in caplog.text
    again = split(plan, pending, cache)
    assert again.computed
    assert again.facts.sizes == first.facts.sizes
    assert not split(plan, pending, cache).computed


def _write(cache: Cache, record: Record, body: dict[str, Any]) -> None:
    from cellstrata.tasks.cache.cache import record_path

    cache.store.write(record_path(record.key), Record("split", record.key, body, record.inline).to_bytes())


def test_the_report_of_a_job_is_json_for_prefect() -> None:
    record = Record("split", KEY, body())
    report = JobReport(key=KEY, executed=(KEY,), splits=1, seconds=0.02, entries=(record,))
    document = report.to_json()
    assert document == {"key": KEY, "executed": [KEY], "splits": 1, "seconds": 0.02}
    assert JobReport.from_json(json.loads(json.dumps(document))) == replace(report, entries=())
    cached = JobReport.of_cached(record)
    assert (cached.executed, cached.splits, cached.seconds) == ((), 1, 0.02)
    bundle = Record("bundle", "b", {"splits": [KEY, "c"], "n_cells": 21, "seconds": 0.5})
    assert JobReport.of_cached(bundle) == JobReport(key="b", executed=(), splits=2, seconds=0.5)


def test_json_that_is_no_object_is_refused() -> None:
    with pytest.raises(WrongJson, match="a list where an object should be"):
        JsonObject.of([])
