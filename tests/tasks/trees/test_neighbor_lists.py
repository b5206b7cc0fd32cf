"""Neighbours of large clusters from lists of all cells: keys that tell the truth, and lists that are whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cellstrata.tasks.cache.cache import Cache, DamagedEntry, array_folder, chunk_name
from cellstrata.tasks.cache.recent_entries import listed_as
from cellstrata.tasks.kernels import knn
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees import jobs, neighbor_lists
from cellstrata.tasks.trees import plan as plan_module
from cellstrata.tasks.trees.jobs import Job, bundle_key, run_job
from cellstrata.tasks.trees.keys import graph_key
from cellstrata.tasks.trees.neighbor_lists import find_lists
from cellstrata.tasks.trees.plan import SplitSpec, TreePlan
from cellstrata.tasks.trees.root_graph import compute_neighbors, distances_matrix, find_neighbors
from cellstrata.tasks.trees.split import node_key, root_node, split
from cellstrata.tasks.trees.tree import Node, Pending, Tree
from tests.tasks.small import Grown, blobs, cache_at, graph_of, grow, plan_for

CELLS = blobs([800, 600, 400, 200], d=6, spread=2.5)[0]
EXACT, FROM = 1200, 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists beyond 1,200 cells, for clusters of 300 and more."""
    monkeypatch.setattr(knn, "EXACT_UP_TO", EXACT)
    monkeypatch.setattr(neighbor_lists, "EXACT_UP_TO", EXACT)
    for module in (neighbor_lists, plan_module, jobs):
        monkeypatch.setattr(module, "FROM_LISTS", FROM)


def planned(cache: Cache, cells: np.ndarray = CELLS) -> TreePlan:
    return plan_for(cache, cells, 3, resolution=0.5)


def graphs(grown: Grown) -> dict[tuple[int, ...], str]:
    return {path: outcome.facts.graph for path, outcome in grown.tree.outcomes.items() if outcome.facts is not None}


def test_a_key_names_the_lists_where_neighbors_are_taken_from_them(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    plan = planned(cache)
    lists = plan.lists_for(plan.neighbors, FROM)
    assert lists is not None
    grown = grow(plan, cache)
    large = {path for path, outcome in grown.tree.outcomes.items() if outcome.facts and outcome.n_cells >= FROM}
    small = graphs(grown).keys() - large
    assert len(large) > 2
    assert small
    for path, key in graphs(grown).items():
        rows = grown.rows(path)
        own = digest_array(CELLS[rows]), len(rows), 10, "euclidean"
        taken = {"lists": lists.key, "rows": digest_array(rows.astype(np.int32)) if path else None}
        assert key == graph_key(*own, **(taken if path in large else {}))
        facts = grown.tree.outcomes[path].facts
        assert facts is not None
        assert facts.method.startswith("lists of 40 by faiss") is (path in large)


def test_all_cells_have_other_lists_than_a_part_of_them(tmp_path: Path) -> None:
    """The same cluster in another data set may keep other neighbours, and has another key."""
    cache = cache_at(tmp_path)
    first, second = (planned(cache, cells).all_lists for cells in (CELLS, CELLS[:-1]))
    assert len(first) == len(second) == 2  # by metric
    assert not {lists.key for lists in first} & {lists.key for lists in second}
    assert planned(cache_at(tmp_path / "other")).all_lists == first


def test_equal_cells_with_other_numbers_have_a_key_of_their_own(tmp_path: Path) -> None:
    """The lists have those of equal cells that come first: two clusters of the same rows may keep other neighbours."""
    cache = cache_at(tmp_path)
    thrice = np.concatenate([CELLS[:500]] * 3)
    plan = planned(cache, thrice)
    keys, labels = [], []
    for copy in range(3):
        rows = np.arange(500 * copy, 500 * (copy + 1), dtype=np.int32)
        pending = Pending(Node((copy,), rows, digest_array(thrice[rows])), SplitSpec(plan.partition, plan.neighbors))
        found = split(plan, pending, cache)
        assert found.computed
        keys.append(found.key)
        labels.append(found.labels(cache).tolist())
        assert split(plan, pending, cache).labels(cache).tolist() == labels[-1]
    assert len(set(keys)) == 3


def test_a_stored_graph_at_level_1_changes_nothing_below(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    stored = plan_for(cache, CELLS, 3, resolution=0.5, stored=graph_of(CELLS))
    own = planned(cache)
    assert stored.lists_for(stored.neighbors, FROM) == own.lists_for(own.neighbors, FROM) is not None
    pending = Pending(Node((0,), np.arange(FROM, dtype=np.int32)), SplitSpec(own.partition, own.neighbors))
    assert node_key(stored, pending, cache) == node_key(own, pending, cache)


@pytest.mark.parametrize("grain", [0, 320, 10_000])
def test_labels_do_not_depend_on_the_grain_or_the_order(tmp_path: Path, grain: int) -> None:
    cache, other = cache_at(tmp_path / "one"), cache_at(tmp_path / "other")
    expected, found = grow(planned(cache), cache), grow(planned(other), other, grain=grain)
    assert found.labels() == expected.labels()
    assert found.keys() == expected.keys()
    assert not grow(planned(cache), cache, grain=grain).executed


def test_other_numbers_of_neighbors_share_the_lists(tmp_path: Path) -> None:
    """Only the first graph is searched for; the next is made from the same lists, as it would be in an empty cache."""
    cache, empty = cache_at(tmp_path / "one"), cache_at(tmp_path / "empty")
    embedding = cache.put(CELLS)
    keys = [compute_neighbors(cache, embedding, k, "euclidean", 1).key for k in (10, 15)]
    assert len(set(keys)) == 2
    records = [record for record in (tmp_path / "one").rglob("records/*/*.json") if b'"knn"' in record.read_bytes()]
    assert len(records) == 1
    assert compute_neighbors(empty, empty.put(CELLS), 15, "euclidean", 1).key == keys[1]
    for k, key in zip((10, 15), keys, strict=True):
        assert find_neighbors(cache, embedding, k, "euclidean") is not None
        matrix = distances_matrix(cache, key, k)
        assert (np.diff(matrix.indptr) == k - 1).all()
    np.testing.assert_array_equal(*(distances_matrix(c, keys[1], 15).indices for c in (cache, empty)))


def test_refresh_searches_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_at(tmp_path)
    embedding, searched = cache.put(CELLS), []
    search = nearest_neighbors
    monkeypatch.setattr(
        "cellstrata.tasks.kernels.knn_cuvs.nearest_neighbors", lambda *a, **k: (searched.append(1), search(*a, **k))[1]
    )
    for refresh, expected in ((False, 1), (False, 1), (True, 2)):
        compute_neighbors(cache, embedding, 10, "euclidean", 1, refresh)
        assert len(searched) == expected


def test_no_lists_where_every_search_is_exact(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    few = CELLS[:EXACT]
    plan = planned(cache, few)
    assert not plan.all_lists
    assert plan.root_graph == graph_key(digest_array(few), EXACT, 10, "euclidean")


def test_many_neighbors_and_few_cells_are_searched_for(tmp_path: Path) -> None:
    plan = planned(cache_at(tmp_path))
    spec = plan.neighbors
    assert plan.lists_for(spec, FROM) is not None
    assert plan.lists_for(replace(spec, n_neighbors=20), FROM) == plan.lists_for(spec, FROM)
    assert plan.lists_for(replace(spec, metric="cosine"), FROM) != plan.lists_for(spec, FROM)
    assert plan.lists_for(replace(spec, n_neighbors=21), FROM) is None
    assert plan.lists_for(spec, FROM - 1) is None
    assert plan.lists_for(replace(spec, embedding=replace(spec.embedding, n_pcs=3)), FROM) is None


@pytest.mark.parametrize("array", ["indices", "distances"])
@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_lists_that_are_damaged_are_never_used(tmp_path: Path, array: str, damage: str) -> None:
    """A worker that meets them says so; the next run finds out by itself, and searches anew."""
    cache = cache_at(tmp_path)
    plan = planned(cache)
    lists = plan.lists_for(plan.neighbors, FROM)
    assert lists is not None
    record = find_lists(cache, lists)
    assert record is not None
    assert not record.inline, "large enough to lie beside the record"
    ref = record.array(array)
    path = tmp_path / array_folder(ref.digest) / chunk_name(ref)
    if damage == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(DamagedEntry, match=ref.digest):
        grow(plan, cache)
    embedding = plan.embeddings[plan.neighbors.embedding]
    assert find_neighbors(cache, embedding, 10, "euclidean") is None
    again = planned(cache)
    assert (
        grow(again, cache).labels()
        == grow(planned(cache_at(tmp_path / "other")), cache_at(tmp_path / "other")).labels()
    )


def test_a_job_in_a_bucket_is_told_of_the_lists() -> None:
    """It takes for absent what is not among the entries that it is told of."""
    cache = Cache(Store.at("memory://lists/cache"))
    plan = planned(cache)
    lists = plan.lists_for(plan.neighbors, FROM)
    assert lists is not None
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    told = frozenset(map(listed_as, plan.entries_of_all_cells))
    job = Job(
        key=bundle_key(plan, (pending,), cache), plan=plan, nodes=(pending,), cache=cache, recurse=True, listed=told
    )
    assert run_job(job).executed
    with pytest.raises(DamagedEntry, match="gone"):
        run_job(replace(job, refresh=True, listed=told - {listed_as(lists.key)}))


def test_a_damaged_copy_does_not_hide_the_one_behind_it(tmp_path: Path) -> None:
    behind = cache_at(tmp_path / "behind")
    expected = grow(planned(behind), behind).labels()
    shutil.copytree(tmp_path / "behind", tmp_path / "own")
    cache = Cache(Store.at(str(tmp_path / "own")), behind.store)
    plan = planned(cache)
    lists = plan.lists_for(plan.neighbors, FROM)
    assert lists is not None
    record = find_lists(cache, lists)
    assert record is not None
    ref = record.array("indices")
    path = tmp_path / "own" / array_folder(ref.digest) / chunk_name(ref)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert grow(plan, cache, refresh=True).labels() == expected
