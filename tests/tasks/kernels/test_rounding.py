"""Exact means exact: also where cells lie far from the middle of all and near each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from cellstrata.tasks.kernels import inverted_file, knn, rounding
from cellstrata.tasks.kernels.faiss_search import faiss
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.rounding import Differences, bound
from tests.tasks.small import blobs

K = 15
Cells = npt.NDArray[np.float32]


def recall(cells: Cells, found: npt.NDArray[np.int32]) -> float:
    """The share of neighbors named that are not farther than the k-th nearest, all in float64."""
    exact = cells.astype(np.float64)
    kth = cKDTree(exact).query(exact, K)[0][:, -1:]
    named = np.linalg.norm(exact[found] - exact[:, None], axis=2)
    return float((named <= kth * (1 + 1e-6) + 1e-12).mean())


def groups(apart: float, n: int = 1200, d: int = 10) -> Cells:
    cells = np.random.default_rng(0).normal(size=(n, d))
    cells[n // 2 :, 0] += apart
    return cells.astype(np.float32)


def sections(apart: float, n: int = 1200) -> Cells:
    """Two tissue sections, 15 µm from cell to cell."""
    cells = np.random.default_rng(0).random((n, 2)) * 15 * np.sqrt(n)
    cells[n // 2 :] += apart
    return cells.astype(np.float32)


@pytest.mark.parametrize("apart", [0, 1e2, 1e3, 3e3, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("make", [groups, sections])
def test_groups_far_apart_have_their_own_neighbors(make: Any, apart: float) -> None:
    cells = make(apart)
    assert recall(cells, nearest_neighbors(cells, K).indices) == 1.0


def test_one_outlying_cell_costs_the_others_nothing() -> None:
    cells = groups(0)
    cells[0] = 1e7
    assert recall(cells, nearest_neighbors(cells, K).indices) == 1.0


@pytest.mark.parametrize("offset", [10, 1e3, 1e5])
def test_vectors_that_are_nearly_parallel_by_cosine(offset: float) -> None:
    cells = (np.random.default_rng(1).normal(size=(600, 8)) + offset).astype(np.float32)
    found = nearest_neighbors(cells, K, "cosine")
    unit = cells / np.linalg.norm(cells.astype(np.float64), axis=1, keepdims=True)
    unit = unit.astype(np.float32).astype(np.float64)
    assert recall(unit.astype(np.float32), found.indices) >= 0.999
    true = ((unit[found.indices] - unit[:, None]) ** 2).sum(2) / 2
    np.testing.assert_allclose(found.distances, true, rtol=2e-3, atol=1e-14)


def test_ordinary_cells_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differences, "nearest", lambda *_: pytest.fail("a second search"))
    cells, _ = blobs([300] * 4, d=20)
    for metric in knn.METRICS:
        nearest_neighbors(cells, K, metric)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("apart", [1e4, 1e6])
def test_the_inverted_file_finds_as_much_at_any_offset(
    apart: float, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knn, "EXACT_UP_TO", 2000)
    if grouped:
        monkeypatch.setattr(inverted_file, "GROUPED_FROM", 2000)
        monkeypatch.setattr(inverted_file, "LISTS_OF_GROUP", 5)
    near, far = groups(30, 4000, 6), groups(apart, 4000, 6)
    without, with_offset = (recall(cells, nearest_neighbors(cells, K).indices) for cells in (near, far))
    assert without > 0.95
    assert with_offset > without - 0.01


def test_lists_wider_than_what_their_cells_are_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tight groups far from one another share a list: there the differences decide."""
    monkeypatch.setattr(knn, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(inverted_file, "CELLS_OF_LIST", 1500)
    rng = np.random.default_rng(2)
    cells = np.repeat(rng.normal(size=(60, 8)) * 1e5, 50, axis=0) + rng.normal(size=(3000, 8))
    cells = cells.astype(np.float32)
    assert recall(cells, nearest_neighbors(cells, K).indices) > 0.99


def test_the_inverted_file_is_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "EXACT_UP_TO", 1000)
    cells = groups(1e5, 3000)
    first, second = (nearest_neighbors(cells, K, threads=threads) for threads in (1, 3))
    assert first.indices.tobytes() == second.indices.tobytes()
    assert first.distances.tobytes() == second.distances.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.floats(0, 6))
def test_the_bound_holds_for_what_faiss_computes(seed: int, d: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    cells = (rng.normal(size=(64, d)) + rng.normal(size=d) * 10**size).astype(np.float32)
    index = faiss().IndexFlatL2(d)
    index.add(cells)
    told, who = index.search(cells, 64)
    exact = cells.astype(np.float64)
    true = ((exact[who] - exact[:, None]) ** 2).sum(2)
    norms = np.linalg.norm(exact, axis=1)
    assert (np.abs(told - true) <= bound(norms[:, None], np.sqrt(true), d) + rounding.UNIT * d * true).all()
