"""Neighbours of large clusters from lists of all cells: keys that tell the truth, and lists that are whole."""

from __future__ import annotations

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
from cellstrata.tasks.trees import neighbor_lists
from cellstrata.tasks.trees.jobs import Job, bundle_key, run_job
from cellstrata.tasks.trees.keys import graph_key
from cellstrata.tasks.trees.neighbor_lists import find_lists
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.root_graph import compute_neighbors, distances_matrix, find_neighbors
from cellstrata.tasks.trees.split import root_node
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import Grown, blobs, cache_at, grow, plan_for

CELLS = blobs([800, 600, 400, 200], d=6, spread=2.5)[0]
EXACT, FROM = 1200, 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists beyond 1,200 cells, for clusters of 300 and more."""
    monkeypatch.setattr(knn, "EXACT_UP_TO", EXACT)
    monkeypatch.setattr(neighbor_lists, "EXACT_UP_TO", EXACT)
    monkeypatch.setattr(neighbor_lists, "FROM_LISTS", FROM)


def planned(cache: Cache, cells: np.ndarray = CELLS) -> TreePlan:
    return plan_for(cache, cells, 3, resolution=0.5)


def graphs(grown: Grown) -> dict[tuple[int, ...], str]:
    return {path: outcome.facts.graph for path, outcome in grown.tree.outcomes.items() if outcome.facts is not None}


def test_a_key_names_the_lists_where_neighbors_are_taken_from_them(tmp_path: Path) -> None:
    cache = cache_at(tmp_path)
    plan = planned(cache)
    assert plan.lists is not None
    grown = grow(plan, cache)
    large = {path for path, outcome in grown.tree.outcomes.items() if outcome.facts and outcome.n_cells >= FROM}
    small = graphs(grown).keys() - large
    assert len(large) > 2
    assert small
    for path, key in graphs(grown).items():
        rows = grown.rows(path)
        own = digest_array(CELLS[rows]), len(rows), 10, "euclidean"
        assert key == graph_key(*own, lists=plan.lists.key if path in large else None)
        facts = grown.tree.outcomes[path].facts
        assert facts is not None
        assert facts.method.startswith("lists of 40 by faiss") is (path in large)


def test_all_cells_have_other_lists_than_a_part_of_them(tmp_path: Path) -> None:
    """The same cluster in another data set may keep other neighbours, and has another key."""
    cache = cache_at(tmp_path)
    first, second = (planned(cache, cells).lists for cells in (CELLS, CELLS[:-1]))
    assert first is not None
    assert second is not None
    assert first.key != second.key
    assert planned(cache_at(tmp_path / "other")).lists == first


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
    assert plan.lists is None
    assert plan.root_graph == graph_key(digest_array(few), EXACT, 10, "euclidean")


def test_another_metric_or_embedding_or_many_neighbors_are_searched_for(tmp_path: Path) -> None:
    plan = planned(cache_at(tmp_path))
    spec = plan.neighbors
    assert plan.lists_for(spec, FROM) is not None
    assert plan.lists_for(replace(spec, n_neighbors=20), FROM) is not None
    assert plan.lists_for(replace(spec, n_neighbors=21), FROM) is None
    assert plan.lists_for(replace(spec, metric="cosine"), FROM) is None
    assert plan.lists_for(spec, FROM - 1) is None
    other = replace(spec.embedding, n_pcs=3)
    assert plan.lists_for(replace(spec, embedding=other), FROM) is None


@pytest.mark.parametrize("array", ["indices", "distances"])
@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_lists_that_are_damaged_are_never_used(tmp_path: Path, array: str, damage: str) -> None:
    """A worker that meets them says so; the next run finds out by itself, and searches anew."""
    cache = cache_at(tmp_path)
    plan = planned(cache)
    assert plan.lists is not None
    record = find_lists(cache, plan.lists)
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
    assert plan.lists is not None
    pending = Tree(plan).open(root_node(plan))
    assert pending is not None
    told = frozenset(map(listed_as, plan.entries_of_all_cells))
    job = Job(
        key=bundle_key(plan, (pending,), cache), plan=plan, nodes=(pending,), cache=cache, recurse=True, listed=told
    )
    assert run_job(job).executed
    with pytest.raises(DamagedEntry, match="gone"):
        run_job(replace(job, refresh=True, listed=told - {listed_as(plan.lists.key)}))
