"""What is read of level 1 at each resolution, against what is measured on the graph."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from cellstrata.configs.evidence import EvidenceConfig, StopRules
from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.tasks.advice.advice import advice_on
from cellstrata.tasks.advice.resolution_facts import resolution_facts, sweep_plan
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.trees.graphs import read_graph
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import NodeSplit, node_key, root_node, split
from cellstrata.tasks.trees.split_evidence import judge_whole
from cellstrata.tasks.trees.tree import Pending, Tree
from tests.tasks.small import cache_at, nested, plan_for

CELLS, OF = nested()
RESOLUTIONS = (0.02, 0.4, 1.0, 2.5)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


def pending_of(plan: TreePlan) -> Pending:
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    return pending


def made(plan: TreePlan, cache: Cache) -> NodeSplit:
    found = split(plan, pending_of(plan), cache)
    judge_whole(plan, pending_of(plan), found, cache)
    return found


def plans(cache: Cache, hierarchy: object = 1, **more: object) -> list[TreePlan]:
    return [replace(plan_for(cache, CELLS, hierarchy, resolution=each), **more) for each in RESOLUTIONS]  # type: ignore[arg-type]


def test_the_parts_of_modularity_are_those_of_the_graph(cache: Cache) -> None:
    asked = plans(cache)
    splits = [made(plan, cache) for plan in asked]
    found = resolution_facts(list(reversed(asked)), cache)
    assert found is not None
    assert [one.resolution for one in found] == list(RESOLUTIONS)
    graph = read_graph(cache, asked[0].root_graph)
    assert graph is not None
    for one, of in zip(found, splits, strict=True):
        labels = of.labels(cache)
        for resolution in (0.3, 1.0, 3.0):
            measured = graph[0].modularity(labels, resolution)
            assert one.within - resolution * one.expected == pytest.approx(measured, abs=1e-12)
    alike = [adjusted_rand_index(a.labels(cache), b.labels(cache)) for a, b in itertools.pairwise(splits)]
    assert [one.next_alike for one in found] == [*alike, None]


def test_only_evidence_that_was_asked_for_is_told(cache: Cache) -> None:
    asked = plans(cache)
    for plan in asked:
        made(sweep_plan(plan, EvidenceConfig(halves=2, null=2)), cache)
    bare = resolution_facts(asked, cache)
    assert bare is not None
    assert all(one.evidence is None for one in bare)  # though the cache has it
    swept = resolution_facts([sweep_plan(plan, EvidenceConfig(halves=2, null=2)) for plan in asked], cache)
    assert swept is not None
    assert [one.evidence is not None for one in swept] == [one.n_clusters > 1 for one in swept]
    assert [one.sizes for one in swept] == [one.sizes for one in bare]


def test_a_sweep_looks_at_its_own_resolutions_and_at_level_1_alone(cache: Cache) -> None:
    levels = {"levels": {1: {"resolution": 7.0, "n_neighbors": 12, "seed": 3}, 2: 0.5}}
    plan = replace(plan_for(cache, CELLS, levels, resolution=0.4), stop=StopRules(replicability=1.0))
    swept = sweep_plan(plan, None)
    spec = pending_of(swept).spec
    assert (spec.partition.resolution, spec.partition.seed, spec.neighbors.n_neighbors) == (0.4, 3, 12)
    assert (swept.depth, swept.stop, swept.draws) == (1, plan.stop, EvidenceConfig())
    until = sweep_plan(replace(plan, hierarchy=Hierarchy.parse("until_stable")), None)
    assert (until.depth, until.attempts) == (1, (1.0,))
    first = replace(plan_for(cache, CELLS, resolution=0.4), resolution=0.4)
    assert node_key(sweep_plan(first, None), pending_of(first), cache) == node_key(first, pending_of(first), cache)


def test_nothing_is_advised_of_one_resolution_or_of_splits_that_are_gone(cache: Cache) -> None:
    asked = plans(cache)
    assert advice_on(asked, cache) is None
    for plan in asked:
        made(plan, cache)
    assert advice_on(asked[:1], cache) is None
    assert advice_on([asked[0], asked[0]], cache) is None
    found = advice_on(asked, cache)
    assert found is not None
    assert [one.resolution for one in found.resolutions] == list(RESOLUTIONS)
    assert advice_on([asked[0], replace(asked[1], root_graph="another")], cache) is None
    cache.store.remove(f"v1/records/{asked[0].root_graph[:2]}/{asked[0].root_graph}.json")
    two = advice_on([asked[0], asked[1]], cache)
    assert two is not None
    assert [one.n_clusters for one in two.resolutions] == [one.n_clusters for one in found.resolutions[:2]]
    with pytest.raises(DamagedEntry, match="gone"):  # of resolution 1 its record does not tell the parts
        advice_on([asked[0], asked[2]], cache)


def test_a_partition_stands_by_the_own_rules_and_by_those_of_auto_where_they_ask_for_no_evidence(cache: Cache) -> None:
    swept = [sweep_plan(plan, EvidenceConfig(halves=2, null=2)) for plan in plans(cache)[1:3]]
    for plan in swept:
        made(plan, cache)

    def reasons(**rules: object) -> list[str]:
        found = resolution_facts([replace(plan, stop=StopRules.model_validate(rules)) for plan in swept], cache)
        assert found is not None
        return [(one.reason or "").partition(":")[0] for one in found]

    bare = reasons()
    assert bare == reasons(replicability=0.5, excess=0.4, p=0.05)
    assert reasons(replicability=0.0) == ["", ""]
    assert reasons(min_children_cells=1_000) == ["children too small"] * 2
    assert reasons(min_children_cells=1) == bare
