from __future__ import annotations

import base64
import copy
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.graph import from_adjacency
from cellstrata.tasks.results.provenance import tree_table
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.trees import split as split_module
from cellstrata.tasks.trees.jobs import bundle_key, run_job
from cellstrata.tasks.trees.keys import graph_key, split_key
from cellstrata.tasks.trees.labels import column_name, label_of, level_column
from cellstrata.tasks.trees.plan import LAST_LEVEL, NOT_ASKED, ONE_COMMUNITY, EmbeddingChoice, SplitSpec, TreePlan
from cellstrata.tasks.trees.split import node_key, root_node
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import (
    BASE,
    Grown,
    as_graph,
    blobs,
    cache_at,
    coarse,
    graph_of,
    grow,
    nested,
    plan_for,
    same_partition,
)

CELLS, OF = nested()
OTHER = np.ascontiguousarray(nested(seed=3)[0][::-1] * 2)


@pytest.fixture
def cache(tmp_path: Any) -> Cache:
    return cache_at(tmp_path / "cache")


@pytest.fixture(autouse=True)
def forget_graphs() -> Iterator[None]:
    split_module.prepared_graph.clear()
    yield
    split_module.prepared_graph.clear()


RESOLUTIONS = st.sampled_from([0.3, 1.0, 2.0])
PARAMETERS = st.one_of(
    RESOLUTIONS,
    st.fixed_dictionaries(
        {},
        optional={
            "resolution": RESOLUTIONS,
            "n_neighbors": st.sampled_from([5, 12]),
            "min_cells": st.sampled_from([0, 30, 1000]),
            "use_rep": st.sampled_from([BASE, "other"]),
            "metric": st.sampled_from(["euclidean", "cosine"]),
            "seed": st.sampled_from([0, 1]),
        },
    ),
)
IDS = st.lists(st.integers(0, 3), min_size=1, max_size=3).map(lambda parts: "_".join(map(str, parts)))
HIERARCHIES = st.one_of(
    st.integers(1, 4),
    st.dictionaries(IDS, PARAMETERS, min_size=1, max_size=4),
    st.fixed_dictionaries(
        {"levels": st.dictionaries(st.integers(1, 4), PARAMETERS, min_size=1, max_size=3)},
        optional={"clusters": st.dictionaries(IDS, st.one_of(st.just(False), PARAMETERS), max_size=4)},
    ),
)


def check_columns(grown: Grown) -> None:
    plan = grown.tree.plan
    columns = [grown.column(level) for level in range(1, plan.depth + 1)]
    assert (grown.tree.codes >= 0).all(), "every cell has a leaf"
    assert grown.tree.settled == plan.n_cells * plan.depth
    for level, column in enumerate(columns, 1):
        assert (column.codes >= 0).all(), "every cell has a label at every level"
        assert all(len(label.split("_")) == level for label in column.categories)
        natural = sorted(column.categories, key=lambda label: [int(part) for part in label.split("_")])
        assert list(column.categories) == natural
        assert set(column.categories) == set(column), "no category without cells"
    for above, below in itertools.pairwise(columns):
        assert [label.rsplit("_", 1)[0] for label in below] == list(above)
        sizes = {str(label): int((above == label).sum()) for label in above.categories}
        for label in below.categories:
            assert int((below == label).sum()) <= sizes[label.rsplit("_", 1)[0]]


def check_outcomes(grown: Grown) -> None:
    """Check each cluster's size, children, reason and key against what is worked out anew here."""
    tree, plan = grown.tree, grown.tree.plan
    base = {"n_neighbors": plan.neighbors.n_neighbors, "min_cells": plan.min_cells, "use_rep": BASE,
            "metric": plan.neighbors.metric}  # fmt: skip
    assert {path for path in tree.outcomes if len(path) == plan.depth} == set(tree.leaves)
    for path, outcome in tree.outcomes.items():
        rows = grown.rows(path)
        children = sorted(other for other in tree.outcomes if other[:-1] == path and other)
        assert outcome.n_cells == len(rows) > 0
        if len(path) == plan.depth:
            assert (outcome.reason, children, outcome.key) == (LAST_LEVEL, [], None)
            continue
        assert [child[-1] for child in children] == list(range(len(children)))
        assert (outcome.reason is None) == (len(children) > 1)
        parts = [grown.rows(child) for child in children]
        order = [(-len(part), part[0]) for part in parts]
        assert order == sorted(order), "children are numbered by size, ties by first cell"
        own = plan.hierarchy.parameters(path)
        if own is None and path:
            assert outcome.reason == NOT_ASKED
            continue
        used = base | (own.model_dump(exclude_none=True) if own else {})
        needed = max(used["min_cells"], 2 * used["n_neighbors"])
        if path and len(rows) < needed:
            assert outcome.reason == f"too small: {len(rows)} cells, {needed} needed"
            continue
        assert outcome.reason in (None, ONE_COMMUNITY)
        assert outcome.spec is not None
        assert outcome.spec.partition.resolution == used.get("resolution", plan.resolution)
        embedding = {BASE: CELLS, "other": OTHER}[used["use_rep"]]
        if path or not plan.root_graph_stored:
            graph = graph_key(digest_array(embedding[rows]), len(rows), used["n_neighbors"], used["metric"])
            assert outcome.facts.graph == graph
            assert outcome.key == split_key(graph, outcome.spec.partition, plan.placement.engine_for(outcome.n_cells))
    for pending in grown.pending:
        digest = pending.node.digest
        embedding = {BASE: CELLS, "other": OTHER}[pending.spec.neighbors.embedding.use_rep]
        assert digest is None or digest == digest_array(embedding[pending.node.rows])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return cache_at(tmp_path_factory.mktemp("shared"))


@settings(max_examples=80, deadline=None)
@given(HIERARCHIES, st.sampled_from([0.1, 1.0]), st.booleans(), st.sampled_from([0, 60, 10_000]))
def test_any_hierarchy(shared: Cache, hierarchy: Any, resolution: float, stored: bool, grain: int) -> None:
    try:
        plan = plan_for(
            shared, CELLS, hierarchy, resolution=resolution, min_cells=25, others={"other": OTHER},
            stored=graph_of(CELLS) if stored else None,
        )  # fmt: skip
    except ValueError:  # a hierarchy that asks for no split
        return
    grown = grow(plan, shared)
    check_columns(grown)
    check_outcomes(grown)
    bundled = grow(plan, shared, grain=grain)
    assert bundled.labels() == grown.labels()
    assert bundled.keys() == grown.keys()
    assert bundled.executed == []


def test_depths_and_names() -> None:
    assert label_of((3, 1, 0)) == "3_1_0"
    assert label_of(()) == "all"
    assert column_name("leiden", 0.5, 2) == "leiden_0.5_2"
    assert column_name("louvain", 1, 1) == "louvain_1.0_1"


def test_natural_order_of_categories() -> None:
    leaves = [(10, 0), (2, 10), (2, 9), (1, 0)]
    column = level_column(np.array([0, 1, 2, 3, 0], np.int32), leaves, 2)
    assert list(column.categories) == ["1_0", "2_9", "2_10", "10_0"]
    assert list(column) == ["10_0", "2_10", "2_9", "1_0", "10_0"]
    assert list(level_column(np.array([0, 1, 2, 3], np.int32), leaves, 1).categories) == ["1", "2", "10"]
    assert list(level_column(np.empty(0, np.int32), [], 1)) == []


FINE = {"resolution": 0.2}  # separates the small clouds; `coarse` shows level 1 the large ones alone
TWO_LEVELS = {"levels": {2: FINE}}


def test_finds_what_is_there(cache: Cache) -> None:
    grown = grow(plan_for(cache, CELLS, TWO_LEVELS, stored=coarse(OF)), cache)
    assert same_partition(grown.column(2), OF)
    assert list(grown.column(1).categories) == ["0", "1", "2"]
    assert [len(grown.rows((c,))) for c in range(3)] == [90, 50, 42]
    assert list(grown.column(2).categories) == ["0_0", "0_1", "0_2", "1_0", "1_1", "2_0", "2_1"]


@pytest.mark.parametrize("seed", range(3))
def test_permuting_the_cells_permutes_the_labels(cache: Cache, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(CELLS))
    before = grow(plan_for(cache, CELLS, TWO_LEVELS, stored=coarse(OF)), cache)
    after = grow(plan_for(cache, CELLS[order], TWO_LEVELS, stored=coarse(OF[order])), cache)
    for level in (1, 2):
        assert same_partition(np.asarray(before.column(level))[order], after.column(level))
        sizes = [sorted(np.unique(np.asarray(each.column(level)), return_counts=True)[1]) for each in (before, after)]
        assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("size", "tried"), [(19, False), (20, True)])
def test_twice_the_neighbours_at_the_boundary(size: int, tried: bool, cache: Cache) -> None:
    cells, of = blobs([40, size])
    grown = grow(plan_for(cache, cells, 2, n_neighbors=10, resolution=0.1), cache)
    assert same_partition(grown.column(1), of)
    small = grown.tree.outcomes[1,]
    assert (small.key is not None) == tried
    assert small.reason != f"too small: {size} cells, 20 needed" if tried else small.reason


@pytest.mark.parametrize(("size", "tried"), [(29, False), (30, True)])
def test_min_cells_at_the_boundary(size: int, tried: bool, cache: Cache) -> None:
    plan = plan_for(cache, CELLS, {"levels": {2: {"n_neighbors": 5}, 3: {"min_cells": 12}}}, min_cells=30)
    assert isinstance(plan.decide((0,), size), SplitSpec) == tried
    if not tried:
        assert plan.decide((0,), size) == f"too small: {size} cells, 30 needed"
    assert isinstance(plan.decide((), 1), SplitSpec)  # level 1 is always tried
    assert plan.decide((0, 0), 19) == "too small: 19 cells, 20 needed"
    assert isinstance(plan.decide((0, 0), 20), SplitSpec)
    assert plan.decide((0, 0, 0), 10**6) == LAST_LEVEL


def test_every_level_tries_anew(cache: Cache) -> None:
    hierarchy = {"levels": {2: {"min_cells": 1000}, 3: FINE}}
    grown = grow(plan_for(cache, CELLS, hierarchy, stored=coarse(OF)), cache)
    assert set(grown.column(2)) == {"0_0", "1_0", "2_0"}
    assert all(grown.tree.outcomes[c,].reason.startswith("too small") for c in range(3))  # type: ignore[union-attr]
    assert same_partition(grown.column(3), OF)


def test_a_named_cluster_below_one_that_stays_whole(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, {"0_0": FINE, "7_7": 1.0}, stored=coarse(OF))
    grown = grow(plan, cache)
    outcomes = grown.tree.outcomes
    assert plan.depth == 3
    assert outcomes[0,].reason == outcomes[1,].reason == outcomes[1, 0].reason == NOT_ASKED
    assert outcomes[0, 0].reason is None
    assert {label for label in grown.column(3) if not label.startswith("0")} == {"1_0_0", "2_0_0"}
    assert plan.unknown_clusters(set(outcomes)) == ["7_7"]


def test_other_embedding_at_a_level(cache: Cache) -> None:
    # `other` separates cells that the base embedding does not.
    base, of = blobs([60, 60])
    other, part = blobs([40, 40, 40], seed=5)
    hierarchy = {"levels": {2: {"use_rep": "other"}, 3: {"min_cells": 200}, 4: {"use_rep": "other"}}}
    grown = grow(plan_for(cache, base, hierarchy, resolution=0.1, others={"other": other}), cache)
    assert same_partition(grown.column(1), of)
    assert same_partition(grown.column(2), of * 3 + part)
    tried = [pending for pending in grown.pending if len(pending.path) == 1]
    assert {pending.spec.neighbors.embedding for pending in tried} == {EmbeddingChoice("other")}
    for pending in tried:
        outcome = grown.tree.outcomes[pending.path]
        expected = graph_key(digest_array(other[grown.rows(pending.path)]), 60, 10, "euclidean")
        assert outcome.facts.graph == expected


def test_stored_graph_needs_no_embedding_for_one_level(cache: Cache) -> None:
    from dataclasses import replace

    plan = replace(plan_for(cache, CELLS, 1, stored=graph_of(CELLS)), embeddings={})
    assert root_node(plan).digest is None
    grown = grow(plan, cache)
    check_columns(grown)
    assert grown.tree.outcomes[()].facts.method == "stored"


def test_stored_graph_and_computed_graph_give_the_same_first_level(cache: Cache) -> None:
    stored = grow(plan_for(cache, CELLS, 2, stored=graph_of(CELLS)), cache)
    computed = grow(plan_for(cache, CELLS, 2), cache)
    assert stored.labels() == computed.labels()
    for path in [path for path in stored.tree.outcomes if len(path) == 1]:  # deeper levels are shared
        assert stored.tree.outcomes[path].key == computed.tree.outcomes[path].key


def test_stored_graphs_that_differ_in_isolated_cells_alone(cache: Cache) -> None:
    triangle = [(0, 1), (1, 2), (0, 2)]
    cells = np.zeros((9, 2), np.float32)
    for n, sizes in [(5, (3, 1, 1)), (9, (3, *6 * [1])), (4, (3, 1))]:
        grown = grow(plan_for(cache, cells[:n], 1, stored=as_graph(n, triangle)), cache)
        assert grown.tree.outcomes[()].facts.sizes == sizes
        check_columns(grown)


def test_a_graph_without_edges_says_so(cache: Cache) -> None:
    import scipy.sparse as sp

    grown = grow(plan_for(cache, CELLS, 1, stored=from_adjacency(sp.csr_matrix((len(CELLS),) * 2))[0]), cache)
    assert grown.tree.outcomes[()].reason == "the graph has no edges"
    assert set(grown.column(1)) == {"0"}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_cells(n: int, cache: Cache) -> None:
    check_columns(grow(plan_for(cache, CELLS[:n], 3), cache))


@pytest.mark.parametrize("algorithm", ["leiden", "louvain"])
def test_warm_as_cold_and_refreshed(algorithm: Any, tmp_path: Any) -> None:
    cache = cache_at(tmp_path / "one")
    plan = plan_for(cache, CELLS, 3, algorithm=algorithm)
    cold = grow(plan, cache)
    n_splits = len(cold.pending)
    assert len(cold.executed) == len(set(cold.executed)) == n_splits > 5
    warm = grow(plan, cache)
    assert warm.executed == []
    refreshed = grow(plan, cache, refresh=True)
    assert sorted(refreshed.executed) == sorted(cold.executed)
    elsewhere = cache_at(tmp_path / "two")
    other = grow(plan_for(elsewhere, CELLS, 3, algorithm=algorithm), elsewhere, grain=10_000)
    assert sorted(other.executed) == sorted(cold.executed)
    assert other.jobs < cold.jobs
    for again in (warm, refreshed, other):
        assert again.labels() == cold.labels()
        assert again.keys() == cold.keys()


def test_a_bundle_finds_what_was_computed_node_by_node(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, 3)
    assert grow(plan_for(cache, CELLS, 2), cache).executed
    rest = grow(plan, cache, grain=10_000)
    below = [pending for pending in rest.pending if len(pending.path) == 2]
    assert len(rest.executed) == len(below) > 0
    assert grow(plan, cache, grain=50).executed == []


def test_one_changed_cluster_costs_its_own_subtree(cache: Cache) -> None:
    hierarchy = {"levels": {2: FINE, 3: {"n_neighbors": 5}}}
    before = grow(plan_for(cache, CELLS, hierarchy, stored=coarse(OF)), cache)
    changed = CELLS.copy()
    changed[before.rows((1, 0))[0], 2] += 0.01
    after = grow(plan_for(cache, changed, hierarchy, stored=coarse(OF)), cache)
    executed = {path for path, key in after.keys().items() if key in after.executed}
    assert executed == {(1,), (1, 0)}


def test_damage_on_the_way_is_mended(cache: Cache, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellstrata.tasks.cache.cache.INLINE", 0)
    plan = plan_for(cache, CELLS, 2)
    before = grow(plan, cache)
    victim = before.keys()[0,]
    record = cache.read_record(str(victim))
    assert record is not None
    digest = record.array("labels").digest
    chunk = tmp_path / "cache" / "v1" / "arrays" / digest[:2] / digest / "c" / "0"
    chunk.write_bytes(b"\x07" * chunk.stat().st_size)
    again = grow(plan, cache)
    assert victim in again.executed
    assert again.labels() == before.labels()


def test_damage_to_labels_within_a_record_is_mended(cache: Cache, tmp_path: Any) -> None:
    plan = plan_for(cache, CELLS, 2)
    before = grow(plan, cache)
    victim = str(before.keys()[0,])
    path = tmp_path / "cache" / "v1" / "records" / victim[:2] / f"{victim}.json"
    document = json.loads(path.read_text())
    labels = bytearray(base64.b64decode(document["inline"]["labels"]))
    labels[5] ^= 1
    document["inline"]["labels"] = base64.b64encode(labels).decode()
    path.write_text(json.dumps(document))
    again = grow(plan, cache)
    assert victim in again.executed
    assert again.labels() == before.labels()


def bundle_of(cache: Cache, hierarchy: Any, others: dict[str, npt.NDArray[np.float32]], **more: Any) -> str:
    plan: TreePlan = plan_for(cache, CELLS, hierarchy, others=others, **more)
    tree = Tree(plan)
    root = tree.open(root_node(plan))
    assert root is not None
    rows = np.arange(100, dtype=np.int32)
    from cellstrata.tasks.trees.tree import Node, Pending

    spec = plan.decide((0,), 100)
    assert isinstance(spec, SplitSpec)
    return bundle_key(plan, (Pending(Node((0,), rows), spec),), cache)


def test_key_of_a_bundle_holds_all_that_is_below(cache: Cache) -> None:
    levels: dict[int, Any] = {
        2: {"n_neighbors": 5, "use_rep": BASE, "metric": "euclidean"},
        3: {"use_rep": "other"},
    }
    base = bundle_of(cache, {"levels": levels}, {"other": OTHER})
    assert bundle_of(cache, {"levels": levels}, {"other": OTHER}) == base
    assert bundle_of(cache, {"levels": levels}, {"other": OTHER}, n_neighbors=12) != base
    assert bundle_of(cache, {"levels": levels}, {"other": OTHER}, metric="cosine") != base
    assert bundle_of(cache, {"levels": levels}, {"other": OTHER}, min_cells=3) != base
    assert bundle_of(cache, {"levels": levels}, {"other": OTHER + 1}) != base
    assert bundle_of(cache, {"levels": {**levels, 3: {"use_rep": "other", "seed": 4}}}, {"other": OTHER}) != base


def test_facts_are_the_same_whoever_had_the_graph_at_hand(cache: Cache) -> None:
    facts = [grow(plan_for(cache, CELLS, 1, resolution=r), cache).tree.outcomes[()].facts for r in (0.5, 1.0)]
    assert facts[0].method == facts[1].method != ""


def test_job_is_small_and_picklable(cache: Cache) -> None:
    import pickle

    from cellstrata.tasks.trees.jobs import Job

    plan = plan_for(cache, CELLS, 2)
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    job = Job(key=node_key(plan, pending, cache), plan=plan, nodes=(pending,), cache=cache)
    data = pickle.dumps(job)
    assert len(data) < 5000 + 4 * len(CELLS)
    report = run_job(pickle.loads(data))
    assert report.executed == (job.key,)


def test_table_has_a_row_for_each_cluster(cache: Cache) -> None:
    grown = grow(plan_for(cache, CELLS, 2, min_cells=1000), cache)
    table = tree_table([grown.tree])
    assert len(table) == len(grown.tree.outcomes)
    assert set(table.loc[table.level == 1, "reason"].str.partition(":")[0]) == {"too small"}
    assert set(table.loc[table.level == 2, "reason"]) == {LAST_LEVEL}
    assert list(table.loc[table.level == 0, "cluster"]) == ["all"]


def test_a_result_has_the_same_key_in_whatever_order_its_splits_were_done(tmp_path: Any) -> None:
    from tests.tasks.finished_results import make_result, write_input

    made = make_result(tmp_path, write_input(tmp_path, CELLS), {"hierarchy": 2})
    (tree,) = made.trees
    leaves = list(reversed(tree.leaves))
    again = copy.copy(tree)
    again.leaves, again.codes = leaves, len(leaves) - 1 - tree.codes
    assert replace(made.finished, trees=(again,)).key() == made.finished.key()
    again.codes = np.roll(again.codes, 1)
    assert replace(made.finished, trees=(again,)).key() != made.finished.key()
