from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from cellstrata.tasks.kernels import inverted_file, knn, neighbor_lists
from cellstrata.tasks.kernels.knn import METRICS, Metric, effective_neighbors, nearest_neighbors
from cellstrata.tasks.kernels.neighbor_lists import from_lists
from tests.tasks.small import blobs

Floats = npt.NDArray[np.float32]


def cloud(n: int, d: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(30, 200), st.integers(2, 8), st.integers(2, 12), st.integers(1, 40), st.floats(0.02, 1.0),
    st.sampled_from(METRICS), st.integers(0, 10**6),
)  # fmt: skip
def test_from_complete_lists_come_the_nearest(
    n: int, d: int, k: int, length: int, share: float, metric: Metric, seed: int
) -> None:
    """Lists of an exact search give what an exact search among the cells gives, whatever their length."""
    cells = cloud(n, d, seed)
    lists = nearest_neighbors(cells, max(length, k), metric)
    rows = np.flatnonzero(np.random.default_rng(seed).random(n) < share).astype(np.int32)
    if not len(rows):
        rows = np.array([n // 2], np.int32)
    found, searched = from_lists(lists.indices, lists.distances, rows, cells[rows], k, metric)
    own = nearest_neighbors(cells[rows], k, metric)
    wanted = effective_neighbors(k, len(rows))
    assert found.indices.shape == found.distances.shape == (len(rows), wanted)
    assert found.indices.dtype == np.int32
    assert found.distances.dtype == np.float32
    np.testing.assert_allclose(found.distances, own.distances, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found.indices, own.indices)
    kept = np.isin(lists.indices[rows], rows).sum(1)
    assert searched == (kept < wanted).sum()


def test_duplicates_and_cells_without_any_listed_neighbor() -> None:
    """Two groups far apart: what is left of some lists is the cell alone, and it is searched for."""
    cells = np.concatenate([np.zeros((30, 3)), np.full((3, 3), 500.0)]).astype(np.float32)
    lists = nearest_neighbors(cells, 20)
    rows = np.array([0, 5, 29, 30, 32], np.int32)
    found, searched = from_lists(lists.indices, lists.distances, rows, cells[rows], 3)
    assert searched > 0
    assert found.indices[:, 0].tolist() == [0, 1, 2, 3, 4]
    true = pairwise_distances(cells[rows].astype(np.float64))
    expected = np.sort(true, axis=1)[:, : found.distances.shape[1]]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5)


def test_a_table_of_all_cells_and_a_search_find_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few cells are looked up by a search among them, many by a table; and in blocks of any size."""
    cells = blobs([400, 300, 300])[0]
    lists = nearest_neighbors(cells, 40)
    rows = np.flatnonzero(np.random.default_rng(1).random(1000) < 0.3).astype(np.int32)
    by_table = from_lists(lists.indices, lists.distances, rows, cells[rows], 15)
    place = neighbor_lists._places(rows, 10**9, 1)
    np.testing.assert_array_equal(
        place(lists.indices[rows]), neighbor_lists._places(rows, 1000, 10**9)(lists.indices[rows])
    )
    monkeypatch.setattr(neighbor_lists, "AT_ONCE", 7)
    monkeypatch.setattr(neighbor_lists, "_places", lambda rows, n_all, lookups: place)
    by_search = from_lists(lists.indices, lists.distances, rows, cells[rows], 15)
    assert by_table[1] == by_search[1] > 0
    np.testing.assert_array_equal(by_table[0].indices, by_search[0].indices)
    np.testing.assert_array_equal(by_table[0].distances, by_search[0].distances)


@pytest.mark.parametrize("metric", METRICS)
def test_the_search_of_some_cells_is_that_of_all(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, some = blobs([500, 300, 200])[0], np.array([0, 3, 500, 999])
    for exact_up_to in (20_000, 100):
        monkeypatch.setattr(knn, "EXACT_UP_TO", exact_up_to)
        whole, part = (nearest_neighbors(cells, 15, metric, of=of) for of in (None, some))
        np.testing.assert_array_equal(part.indices, whole.indices[some])
        np.testing.assert_allclose(part.distances, whole.distances[some], rtol=1e-5, atol=1e-6)


def test_what_a_search_and_lists_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of cells that are compared, of 12,000 cells in 40 groups: they are counted, whatever the machine."""
    cells = blobs([300] * 40, d=10, spread=4)[0]
    n, compared = len(cells), []
    search = inverted_file._compared
    monkeypatch.setattr(
        inverted_file,
        "_compared",
        lambda queries, others, *more: (compared.append(len(queries) * len(others)), search(queries, others, *more))[1],
    )
    monkeypatch.setattr(knn, "EXACT_UP_TO", 5000)
    lists = nearest_neighbors(cells, 40)
    assert sum(compared) < 0.35 * n * n, "more pairs than before"

    monkeypatch.setattr(neighbor_lists, "nearest_neighbors", lambda *_, of, **__: pytest.fail(f"{len(of)} searched"))
    rows = np.flatnonzero(cells[:, 0] > np.median(cells[:, 0])).astype(np.int32)
    with pytest.raises(pytest.fail.Exception, match="searched") as caught:
        from_lists(lists.indices, lists.distances, rows, cells[rows], 15)
    assert int(str(caught.value).split()[0]) < 0.1 * len(rows), "more cells keep too few neighbours than before"
