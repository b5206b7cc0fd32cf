"""Trees that end by themselves: attempts at a cluster, what is told of it in the end, and how many levels there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellstrata.configs.evidence import AGAIN, AUTO, EvidenceConfig, StopRules
from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.evidence.stop import reason_of_evidence
from cellstrata.tasks.trees import split_evidence
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.jobs import bundle_key
from cellstrata.tasks.trees.judgement import NOTHING, Judgement
from cellstrata.tasks.trees.placement import Placement
from cellstrata.tasks.trees.plan import ATTEMPTS, LAST_LEVEL, Batches, TreePlan
from cellstrata.tasks.trees.split import find_split, node_key, root_node, split
from cellstrata.tasks.trees.split_evidence import evidence_key, gather_evidence, judge, judge_whole
from cellstrata.tasks.trees.tree import Node, Pending, Tree
from tests.tasks.small import blobs, cache_at, plan_for

CELLS, OF = blobs([120, 100, 80], spread=6)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


def facts(sizes: Sequence[int]) -> SplitFacts:
    return SplitFacts(
        n_cells=sum(sizes), sizes=tuple(sizes), modularity=0.0, quality=0.0, note=None, graph="g", n_edges=1, method="",
        n_neighbors=10, metric="euclidean", algorithm="leiden", resolution=1.0, n_iterations=2, seed=0,
        use_weights=True, engine="igraph", engine_version="igraph 1.0.0", seconds=0.0, created="", children=None,
    )  # fmt: skip


def refused(found: float) -> Judgement:
    evidence = Evidence(halves=(found,), null=(), recovered=(0.0,), purity=(), separation=(), n_cells=1)
    return Judgement(reason=f"not replicable: {found} (needs 1)", evidence=evidence)


def opened(tree: Tree, node: Node) -> Pending:
    pending = tree.open(node)
    assert pending is not None
    return pending


def closed(tree: Tree, pending: Pending, sizes: Sequence[int], judged: Judgement = NOTHING) -> list[Node]:
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return tree.close(pending, f"key {pending.node.attempt}", facts(sizes), labels, executed=True, judged=judged)


def test_all_resolutions_are_tried_before_a_cluster_counts_as_one(cache: Cache) -> None:
    tree = Tree(plan_for(cache, CELLS, "until_stable", resolution=1.0))
    node, tried = root_node(tree.plan), []
    for found in (0.1, 0.4, 0.2, 0.3, 0.4):
        pending = opened(tree, node)
        tried.append(pending.spec.partition.resolution)
        assert pending.path == ()
        (node,) = closed(tree, pending, [200, 100], refused(found))
    assert tried == [factor * 1.0 for factor in ATTEMPTS]
    outcome = tree.outcomes[()]
    assert outcome.key == "key 1"  # the first of the best
    assert outcome.spec.partition.resolution == 0.5
    assert (outcome.reason, outcome.n_children) == ("not replicable: 0.4 (needs 1)", 1)
    assert tree.open(node) is None  # the same cells are not tried again
    assert tree.settled == 300 * 12
    ended = tree.ended()
    assert ended.plan.depth == 1
    assert [len(leaf) for leaf in ended.leaves] == [1]
    assert set(ended.outcomes) == {(), (0,)}
    assert (ended.codes == 0).all()


def test_an_attempt_that_stands_ends_them_and_its_children_begin_anew(cache: Cache) -> None:
    tree = Tree(plan_for(cache, CELLS, "until_stable", resolution=1.0))
    (again,) = closed(tree, opened(tree, root_node(tree.plan)), [300])  # one community
    children = closed(tree, opened(tree, again), [180, 120])
    assert [(child.path, child.attempt) for child in children] == [((0,), 0), ((1,), 0)]
    assert tree.outcomes[()].reason is None
    assert tree.outcomes[()].spec.partition.resolution == 0.5
    assert [opened(tree, child).spec.partition.resolution for child in children] == [1.0, 1.0]


def test_auto_asks_more_of_a_further_attempt(cache: Cache) -> None:
    own = StopRules(replicability=0.4)
    plan = replace(plan_for(cache, CELLS, {"levels": {2: {"stop": {"replicability": 0.4}}}}), stop=AUTO)
    assert [plan.stop_rules((), attempt) for attempt in range(3)] == [AUTO, AGAIN, AGAIN]
    assert [plan.stop_rules((0,), attempt) for attempt in range(2)] == [own, own]
    bounds = [(rules.replicability or 0, rules.excess or 0, -(rules.p or 1)) for rules in (AUTO, AGAIN)]
    assert all(more >= less for less, more in zip(*bounds, strict=True))
    tried = []

    def halves(found: float) -> Evidence:
        return Evidence(halves=(found,) * 4, null=(0.0, 0.01, 0.0, 0.01), recovered=(0.0,), purity=(), separation=(),
                        n_cells=300)  # fmt: skip

    for attempt in range(2):
        rules = plan.stop_rules((), attempt)
        tried.append([reason_of_evidence(rules, halves(found)) is None for found in (0.45, 0.55, 0.65)])
    assert tried == [[False, True, True], [False, False, True]]


def test_judging_a_further_attempt_takes_its_rules(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(plan_for(cache, CELLS, "until_stable"), stop=AUTO)
    asked: list[StopRules] = []
    monkeypatch.setattr(split_evidence, "reason_of_evidence", lambda rules, _: asked.append(rules))
    pending = opened(Tree(plan), root_node(plan))
    further = opened(Tree(plan), replace(root_node(plan), attempt=1))
    for one in (pending, further):
        judge_whole(plan, one, split(plan, one, cache), cache)
    assert asked == [AUTO, AGAIN]


def test_levels_are_as_many_as_were_made(cache: Cache) -> None:
    tree = Tree(plan_for(cache, CELLS, "until_stable", resolution=1.0, n_neighbors=10))
    first, second = closed(tree, opened(tree, root_node(tree.plan)), [280, 20])
    below = closed(tree, opened(tree, first), [140, 140])
    waiting = [opened(tree, child) for child in below]
    while waiting:
        pending = waiting.pop()
        waiting += [p for child in closed(tree, pending, [pending.n_cells]) if (p := tree.open(child)) is not None]
    assert opened(tree, second)  # 20 cells are just enough
    waiting = [opened(tree, second)]
    while waiting:
        pending = waiting.pop()
        waiting += [p for child in closed(tree, pending, [12, 8], refused(0.0)) if (p := tree.open(child)) is not None]
    ended = tree.ended()
    assert ended.plan.depth == 2
    assert list(ended.levels) == [1, 2]
    assert sorted(ended.leaves) == [(0, 0), (0, 1), (1, 0)]
    assert np.bincount(ended.codes).sum() == 300
    assert all(len(path) <= 2 for path in ended.outcomes)
    assert not any(outcome.reason == LAST_LEVEL for outcome in ended.outcomes.values())


def test_a_tree_of_a_number_of_levels_has_one_attempt(cache: Cache) -> None:
    tree = Tree(plan_for(cache, CELLS, 2))
    (node,) = closed(tree, opened(tree, root_node(tree.plan)), [200, 100], refused(0.1))
    assert (node.path, node.attempt) == ((0,), 0)
    assert tree.ended() is tree
    assert not tree.tried


def keys(plan: TreePlan, cache: Cache) -> tuple[str, str, str]:
    """The keys of the root's split, of its evidence, and of the bundle with all below."""
    pending = opened(Tree(plan), root_node(plan))
    found = find_split(cache, node_key(plan, pending, cache)) or split(plan, pending, cache)
    return found.key, evidence_key(plan, pending, found), bundle_key(plan, (pending,), cache)


def test_what_the_keys_of_evidence_depend_on(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, 2)
    base = keys(plan, cache)
    assert keys(replace(plan, stop=StopRules()), cache) == base
    bound = keys(replace(plan, stop=StopRules(p=0.5)), cache)
    assert bound[:2] == base[:2]
    assert bound[2] != base[2]  # other splits may be below
    rules = {2: {"stop": {"replicability": 0.4}}}
    of_level = [
        keys(replace(plan, hierarchy=Hierarchy.parse({"levels": {2: {"stop": stop}}})), cache)[2]
        for stop in ({"replicability": 0.4}, {"replicability": 0.5}, "auto", AUTO.model_dump(exclude_none=True))
    ]
    assert len({base[2], *of_level[:3]}) == 4
    assert of_level[2] == of_level[3]  # the bounds are meant, not the word
    donors = [Batches(column="d", codes=cache.put(np.arange(300, dtype=np.int32) % n), groups=("a",)) for n in (2, 3)]
    level = replace(plan, hierarchy=Hierarchy.parse({"levels": rules}))
    assert len({keys(replace(level, batches=(each,)), cache)[2] for each in donors}) == 2
    assert keys(replace(plan, batches=(donors[0],)), cache) == base  # where no rule asks, nothing depends on it
    more = keys(replace(plan, evidence=EvidenceConfig(halves=9)), cache)
    assert more[0] == base[0]
    assert more[1] != base[1]
    other = replace(plan, partition=replace(plan.partition, seed=5))
    assert len({base[1], more[1], keys(other, cache)[1]}) == 3


def test_evidence_says_what_clusters_the_halves(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_for(cache, CELLS, 1)
    pending = opened(Tree(plan), root_node(plan))
    found = split(plan, pending, cache)
    here = evidence_key(plan, pending, found)
    monkeypatch.setattr(Placement, "knn_method", lambda self, n: "cuvs" if n == 150 else None)
    assert evidence_key(plan, pending, found) != here


def test_evidence_is_found_again_and_judged_by_any_bound(cache: Cache) -> None:
    plan = replace(plan_for(cache, CELLS, 2, engine="igraph"), stop=StopRules(replicability=0.5))
    pending = opened(Tree(plan), root_node(plan))
    found = split(plan, pending, cache)
    assert judge(plan, pending, found, cache).wanted
    gathered = gather_evidence(plan, pending, found, cache)
    assert gathered.computed
    assert gathered.evidence.replicability == 1.0
    assert not gather_evidence(plan, pending, found, cache).computed
    again = gather_evidence(plan, pending, found, cache, refresh=True)
    assert replace(again.evidence, seconds=0) == replace(gathered.evidence, seconds=0)
    judged = judge(plan, pending, found, cache)
    assert (judged.reason, judged.wanted, judged.evidence_key) == (None, False, gathered.record.key)
    strict = replace(plan, stop=StopRules(min_children_cells=101))
    assert str(judge(strict, pending, found, cache).reason).startswith("children too small: 100 cells")
    assert judge(strict, pending, found, cache).evidence is None  # nothing depends on what happens to be in the cache
    assert judge(replace(plan, stop=StopRules()), pending, found, cache) == NOTHING


def test_a_gpu_placement_is_asked_for_halves_too(cache: Cache) -> None:
    """Of few cells halves are the CPU's, wherever the split was."""
    plan = plan_for(cache, CELLS, 1, placement=Placement("cpu", 0, 50, 0.0))
    pending = opened(Tree(plan), root_node(plan))
    assert gather_evidence(plan, pending, split(plan, pending, cache), cache).evidence.n_cells == 300
