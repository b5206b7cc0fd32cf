"""Ensembles as splits: their keys, what they keep, and that it decides nothing where their runs are made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels import ensemble
from cellstrata.tasks.kernels.engines import PartitionSpec, Runs, load_engine
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.trees import runs as kept_runs
from cellstrata.tasks.trees.jobs import Job, JobReport, bundle_key, run_job
from cellstrata.tasks.trees.keys import split_key
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.runs import next_runs, run_of
from cellstrata.tasks.trees.split import NodeSplit, find_split, node_key, root_node, split
from cellstrata.tasks.trees.tree import Node, Pending, Tree
from tests.tasks.small import cache_at, graph_of, grow, plan_for

CLOUD = np.random.default_rng(5).normal(size=(400, 4)).astype(np.float32)  # no two runs agree on it
SPEC = PartitionSpec("leiden", 1.0)


def of(plan: TreePlan, number: Runs) -> TreePlan:
    return replace(plan, partition=replace(plan.partition, ensemble=number))


def root(plan: TreePlan) -> Pending:
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    return pending


@pytest.fixture(params=[False, True], ids=["in one process", "each kept"])
def kept(request: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the runs of these few cells are splits of their own."""
    monkeypatch.setattr(kept_runs, "KEPT_RUNS", 100 if request.param else 1_000_000)
    return bool(request.param)


def found(cache: Cache, plan: TreePlan) -> NodeSplit:
    return split(plan, root(plan), cache)


def test_a_single_run_has_the_key_and_record_that_it_always_had() -> None:
    engine = load_engine("cellstrata")
    single = split_key("g", PartitionSpec("leiden", 0.5), engine)
    assert split_key("g", PartitionSpec("leiden", 0.5, ensemble=1), engine) == single
    keys = {split_key("g", PartitionSpec("leiden", 0.5, ensemble=number), engine) for number in (1, 2, 8, "auto")}
    assert len(keys) == 4
    louvain = PartitionSpec("louvain", 0.5)
    assert split_key("g", replace(louvain, ensemble="auto"), engine) == split_key("g", louvain, engine)


def test_the_way_in_which_runs_are_joined_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [replace(SPEC, ensemble=number) for number in (1, 8)]
    before = [split_key("g", spec, load_engine("cellstrata")) for spec in specs]
    monkeypatch.setattr(ensemble, "SCHEME", ensemble.SCHEME + 1)
    after = [split_key("g", spec, load_engine("cellstrata")) for spec in specs]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_bundles_know_the_ensembles_below_them(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CLOUD, 3)
    node = (replace(root(plan), node=Node((0,), np.arange(50, dtype=np.int32))),)
    asked = Hierarchy.parse({"levels": {"2": 0.5, "3": {"resolution": 0.5, "ensemble": 4}}})
    single = Hierarchy.parse({"levels": {"2": 0.5, "3": 0.5}})
    plans = [plan, of(plan, 4), of(plan, "auto"), replace(plan, hierarchy=asked), replace(plan, hierarchy=single)]
    assert len({bundle_key(one, node, cache) for one in plans}) == 5
    louvain = replace(plan, partition=replace(plan.partition, algorithm="louvain", ensemble=1))
    assert bundle_key(louvain, node, cache) == bundle_key(of(louvain, 8), node, cache)


def test_it_keeps_what_its_runs_know(tmp_path: Any, kept: bool) -> None:
    cache = cache_at(tmp_path)
    plan = of(plan_for(cache, CLOUD, resolution=1.0), 4)
    first = found(cache, plan)
    facts = first.facts
    assert (facts.runs, facts.seed) == (4, 0)
    assert facts.agreement is not None
    assert 0 < facts.agreement < 0.9
    assert facts.cores == tuple(sorted(facts.cores or (), reverse=True))
    assert len(facts.stability or ()) == len(facts.sizes)
    again = found(cache_at(tmp_path), plan)
    assert again == replace(first, computed=False)
    stability = again.stability(cache)
    assert stability is not None
    assert (stability.shape, stability.dtype) == (CLOUD.shape[:1], np.float32)
    graph = graph_of(CLOUD)
    runs = [partition(graph, ensemble.run_spec(SPEC, number), load_engine("cellstrata")) for number in range(4)]
    assert facts.quality >= max(run.quality for run in runs)
    direct = partition(graph, replace(SPEC, ensemble=4), load_engine("cellstrata"))
    assert np.array_equal(again.labels(cache), direct.labels)
    assert direct.joined is not None
    assert np.array_equal(stability, direct.joined.stability.cells)
    singles = [find_split(cache, node_key(plan, run_of(root(plan), number), cache)) for number in range(4)]
    assert [single is not None for single in singles] == [kept] * 4
    assert found(cache, of(plan, 1)).stability(cache) is None


def test_a_larger_ensemble_computes_only_the_further_runs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_runs, "KEPT_RUNS", 100)
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CLOUD, resolution=1.0)
    seeds: list[int] = []
    engine = load_engine("cellstrata")

    def noting(self: object, prepared: Any, spec: PartitionSpec) -> Any:
        seeds.append(spec.seed)
        return engine_partition(engine, prepared, spec)

    engine_partition = type(engine).partition
    monkeypatch.setattr(type(engine), "partition", noting)
    found(cache, of(plan, 3))
    assert seeds == [0, 1, 2]
    found(cache, of(plan, 5))
    assert seeds == [0, 1, 2, 3, 4]
    found(cache, of(plan, 1))  # the first run of seed 0 is the single run of seed 0
    found(cache, of(plan, 2))
    assert seeds == [0, 1, 2, 3, 4]
    split(of(plan, 2), root(of(plan, 2)), cache, refresh=True)
    assert seeds == [0, 1, 2, 3, 4, 0, 1]


def test_auto_stops_where_runs_agree_and_goes_on_where_not(tmp_path: Any, kept: bool) -> None:
    cache = cache_at(tmp_path)
    apart = np.concatenate([CLOUD[:200] * 0.01, CLOUD[:200] * 0.01 + 9])  # two clouds, at a low resolution
    agreed = found(cache, of(plan_for(cache, apart, resolution=0.1), "auto")).facts
    assert (agreed.runs, agreed.agreement, agreed.stability) == (ensemble.FEW, 1.0, (1.0, 1.0))
    assert agreed.cores == (2,)
    unlike = found(cache, of(plan_for(cache, CLOUD, resolution=1.0), "auto")).facts
    assert unlike.runs == ensemble.MOST


def test_someone_else_makes_the_runs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_runs, "KEPT_RUNS", 100)
    cache = cache_at(tmp_path)
    plan = of(plan_for(cache, CLOUD, resolution=1.0), "auto")
    whole = root(plan)

    def job(pending: Pending, runs_made: int | None = None) -> JobReport:
        key = node_key(plan, pending, cache)
        return run_job(Job(key=key, plan=plan, nodes=(pending,), cache=cache, runs_made=runs_made))

    first = next_runs(whole, 0)
    assert [run.run for run in first] == [0, 1, 2]
    assert [job(run).splits for run in first] == [1, 1, 1]
    assert next_runs(whole, 3) == []
    asked = job(whole, 3)
    assert (asked.more_runs, asked.splits, asked.executed) == (True, 0, ())
    assert JobReport.from_json(asked.to_json()).more_runs
    more = next_runs(whole, 3, more=True)
    assert [run.run for run in more] == [3, 4, 5, 6, 7]
    for run in more:
        job(run)
    joined = job(whole, 8)
    assert (joined.more_runs, joined.splits, len(joined.executed)) == (False, 1, 1)
    alone = cache_at(tmp_path / "alone")
    plan = of(plan_for(alone, CLOUD, resolution=1.0), "auto")
    assert np.array_equal(found(alone, plan).labels(alone), found(cache, plan).labels(cache))


def test_below_level_1_the_first_run_goes_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    plan = of(plan_for(cache_at(tmp_path), CLOUD), 8)
    whole = root(plan)
    below = replace(whole, node=replace(whole.node, path=(0,)))
    assert next_runs(below, 0) == []  # too few cells
    monkeypatch.setattr(kept_runs, "KEPT_RUNS", 100)
    assert [run.run for run in next_runs(below, 0)] == [0]
    assert [run.run for run in next_runs(below, 1)] == [1, 2, 3, 4, 5, 6, 7]
    assert next_runs(below, 8) == next_runs(below, 8, more=True) == []


@pytest.mark.parametrize("grain", [0, 1_000])
def test_a_whole_tree_has_the_same_labels_however_its_runs_are_made(grain: int, tmp_path: Any, kept: bool) -> None:
    cache = cache_at(tmp_path)
    plan = of(plan_for(cache, CLOUD, 3, resolution=1.0), "auto")
    labels = grow(plan, cache, grain).labels()
    plain = cache_at(tmp_path / "plain")
    assert labels == grow(of(plan_for(plain, CLOUD, 3, resolution=1.0), "auto"), plain).labels()
