from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import pairwise_distances

from cellstrata.tasks.kernels import faiss_search, inverted_file, knn
from cellstrata.tasks.kernels.knn import (
    METRICS,
    Metric,
    Neighbors,
    effective_neighbors,
    method_for,
    nearest_neighbors,
)
from tests.tasks.small import blobs


def check(cells: npt.NDArray[np.float32], k: int, metric: Metric) -> Neighbors:
    """Compare with scikit-learn: the same distances, each of the cell that is named."""
    found = nearest_neighbors(cells, k, metric)
    n, k = len(cells), effective_neighbors(k, len(cells))
    assert found.indices.shape == found.distances.shape == (n, k)
    assert found.indices.dtype == np.int32
    assert found.distances.dtype == np.float32
    true = pairwise_distances(cells.astype(np.float64), metric=metric)
    np.fill_diagonal(true, -1)
    expected = np.sort(true, axis=1)[:, :k]
    expected[:, 0] = 0
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found.distances, expected, rtol=1e-5, atol=2e-6 * scale)
    np.fill_diagonal(true, 0)
    named = np.take_along_axis(true, found.indices.astype(np.int64), 1)
    np.testing.assert_allclose(found.distances, named, rtol=1e-5, atol=2e-6 * scale)
    assert all(len(set(row)) == k for row in found.indices.tolist())
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(n))
    assert (found.distances[:, 0] == 0).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    tied = np.diff(found.distances[:, 1:], axis=1) == 0
    assert (np.diff(found.indices[:, 1:], axis=1)[tied] > 0).all(), "ties go by index"
    return found


GRIDS = arrays(
    np.float32,
    st.tuples(st.integers(1, 40), st.integers(1, 4)),
    elements=st.integers(-2, 2).map(float),
)


@settings(max_examples=120, deadline=None)
@given(GRIDS, st.integers(2, 12), st.sampled_from(METRICS))
def test_exact_on_grids_full_of_ties_duplicates_and_zero_rows(
    cells: npt.NDArray[np.float32], k: int, metric: Metric
) -> None:
    check(cells, k, metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n", [1, 2, 5, 30, 700])
def test_exact_on_random_cells(n: int, metric: Metric) -> None:
    check(np.random.default_rng(n).normal(size=(n, 20)).astype(np.float32) + 3, 15, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_more_duplicates_than_neighbours(metric: Metric) -> None:
    cells = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    cells[10:50] = cells[3]
    found = check(cells, 15, metric)
    assert np.abs(found.distances[10:50]).max() < 1e-6


def test_zero_rows_do_not_push_out_true_neighbours_by_cosine() -> None:
    cells = np.random.default_rng(1).normal(size=(200, 40)).astype(np.float32)  # most angles near 90°
    cells[::4] = 0
    found = check(cells, 15, "cosine")
    assert (found.distances[0, 1:] == 1).all()


def test_ties_go_by_index() -> None:
    cells = np.array([[0.0], [1], [-1], [1], [2]], np.float32)
    assert nearest_neighbors(cells, 4).indices[0].tolist() == [0, 1, 2, 3]
    assert nearest_neighbors(np.zeros((6, 2), np.float32), 3).indices[4, 0] == 4


@pytest.fixture
def in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few lists of few cells, which come in groups already."""
    monkeypatch.setattr(knn, "EXACT_UP_TO", 1000)
    for name, value in (("GROUPED_FROM", 1000), ("CELLS_OF_LIST", 40), ("LISTS_OF_GROUP", 6)):
        monkeypatch.setattr(inverted_file, name, value)


@pytest.mark.parametrize("search", ["exact2", "grouped6", "grouped8-6"])
@pytest.mark.parametrize("metric", METRICS)
def test_same_bits_for_any_number_of_threads(
    search: str, metric: Metric, monkeypatch: Any, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(faiss_search, "BLOCK", 500)
    monkeypatch.setattr(knn, "EXACT_UP_TO", 10_000 if search == "exact2" else 1000)
    if search == "grouped8-6":
        request.getfixturevalue("in_groups")
    cells, _ = blobs([400] * 6, d=10)
    cells[50:90] = cells[7]
    cells[100:110] = 0
    before = cells.copy()
    first, *others = [nearest_neighbors(cells, 15, metric, threads) for threads in (1, 2, 3)]
    for other in others:
        assert other.indices.tobytes() == first.indices.tobytes()
        assert other.distances.tobytes() == first.distances.tobytes()
    np.testing.assert_array_equal(cells, before)
    assert first.method == method_for(len(cells))
    assert first.method.endswith(f"-{search}")


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_index_for_large_sets_has_high_recall(
    metric: Metric, grouped: bool, monkeypatch: Any, request: pytest.FixtureRequest
) -> None:
    cells, _ = blobs([300] * 20, d=20, spread=3)
    cells[:60] = cells[60]  # more equal cells than a list can show
    exact = nearest_neighbors(cells, 15, metric)
    monkeypatch.setattr(knn, "EXACT_UP_TO", 2000)
    if grouped:
        request.getfixturevalue("in_groups")
    found = nearest_neighbors(cells, 15, metric)
    assert found.method == method_for(len(cells)) != exact.method
    assert (found.indices[:, 0] == np.arange(len(cells))).all()
    pairs = zip(found.indices[60:], exact.indices[60:], strict=True)
    recall = np.mean([len(np.intersect1d(a, b)) / 15 for a, b in pairs])
    assert recall >= 0.95
    np.testing.assert_allclose(found.distances[:60], exact.distances[:60], atol=1e-5)
    assert (found.distances >= exact.distances - 1e-5).all()


def test_blocks_do_not_change_what_is_found(monkeypatch: Any) -> None:
    cells, _ = blobs([200, 150], d=10)
    whole = nearest_neighbors(cells, 15)
    monkeypatch.setattr(faiss_search, "BLOCK", 64)
    parts = nearest_neighbors(cells, 15, threads=2)
    np.testing.assert_array_equal(whole.indices, parts.indices)


ODD = {
    "all equal": np.ones((1500, 4)),
    "few places": np.random.default_rng(0).integers(0, 3, (1500, 2)),
    "one far cloud": np.vstack([np.random.default_rng(1).normal(size=(1480, 6)), np.full((20, 6), 1e4)]),
    "a line": np.linspace(0, 1, 1500)[:, None] ** 3,
    "one dominates": np.vstack([np.zeros((1200, 5)), np.random.default_rng(2).normal(size=(300, 5))]),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("cells", ODD.values(), ids=ODD)
@pytest.mark.usefixtures("in_groups")
def test_odd_cells_in_groups(cells: npt.NDArray[Any], metric: Metric) -> None:
    cells = cells.astype(np.float32)
    found = nearest_neighbors(cells, 15, metric, threads=2)
    n = len(cells)
    assert found.indices.shape == (n, 15)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(n))
    assert all(len(set(row)) == 15 for row in found.indices.tolist())
    true = np.sort(pairwise_distances(cells.astype(np.float64), metric=metric), axis=1)[:, 1:15]
    near = found.distances[:, 1:] <= true * 1.001 + 1e-5
    assert near.mean() > 0.97


def test_few_cells_have_as_many_neighbours_as_in_scanpy() -> None:
    assert [effective_neighbors(15, n) for n in (1, 2, 3, 10, 14, 15, 16)] == [1, 2, 2, 6, 8, 15, 15]


def test_ten_cells_can_be_two_clusters() -> None:
    cells = np.repeat(np.eye(2, dtype=np.float32) * 100, 5, axis=0) + np.linspace(0, 1, 20, dtype=np.float32).reshape(
        10, 2
    )
    found = nearest_neighbors(cells, 15)
    near = found.indices[:, :5] // 5 == np.arange(10)[:, None] // 5
    assert found.indices.shape == (10, 6)
    assert near.all()
