from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.kernels.engine_igraph import to_igraph
from cellstrata.tasks.kernels.graph import Graph, GraphError, from_adjacency, from_directed
from tests.tasks.small import GOLDEN_LABELS, GOLDEN_MODULARITY, golden, graph_of, karate, pbmc

PAIR = np.array([[0, 2.0, 0], [2, 0, 3], [0, 3, 0]])


def check(graph: Graph, dense: Any) -> None:
    np.testing.assert_allclose(graph.to_csr().toarray(), dense, rtol=1e-6)
    assert (graph.edges.dtype, graph.weights.dtype) == (np.int32, np.float32)
    assert (graph.edges[:, 0] < graph.edges[:, 1]).all()
    assert (graph.weights > 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f8", np.int64, bool])
@pytest.mark.parametrize("make", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, np.asarray])
def test_forms_and_types(make: Any, dtype: Any) -> None:
    dense = PAIR.astype(dtype)
    graph, notice = from_adjacency(make(dense.astype(np.float64) if dtype == ">f8" else dense))
    check(graph, dense.astype(float))
    assert notice is None


def test_int64_indices_zeros_diagonal_and_duplicates() -> None:
    row = np.array([0, 1, 1, 0, 2, 2, 1, 0, 2], np.int64)
    column = np.array([1, 0, 0, 1, 2, 1, 2, 2, 0], np.int64)
    values = np.array([1.5, 1.5, 0.5, 0.5, 9, 3, 3, 0, 0])
    matrix = sp.csr_matrix(sp.coo_matrix((values, (row, column)), shape=(3, 3)))
    raw = sp.csr_matrix((values[np.argsort(row, kind="stable")], np.sort(row), [0, 9, 9, 9]), shape=(3, 3))
    assert raw.nnz == 9  # not canonical
    for each in (matrix, sp.coo_matrix((values, (row, column)), shape=(3, 3))):
        graph, notice = from_adjacency(each)
        check(graph, PAIR)
        assert notice is None
        assert len(graph.edges) == 2


def test_input_is_unchanged() -> None:
    matrix = sp.csr_matrix((np.array([1.0, 2, 1, 0]), np.array([2, 1, 0, 0]), np.array([0, 2, 2, 4])), shape=(3, 3))
    matrix.indices = matrix.indices.astype(np.int64)
    before = [part.copy() for part in (matrix.data, matrix.indices, matrix.indptr)]
    from_adjacency(matrix)
    for part, old in zip((matrix.data, matrix.indices, matrix.indptr), before, strict=True):
        np.testing.assert_array_equal(part, old)
        assert part.dtype == old.dtype


def test_asymmetric_takes_the_larger_weight_and_says_so() -> None:
    graph, notice = from_adjacency(sp.csr_matrix(np.array([[0, 1.0, 0], [4, 0, 0], [2, 0, 0]])))
    check(graph, [[0, 4, 2], [4, 0, 0], [2, 0, 0]])
    assert notice is not None
    assert "symmetric" in notice


@pytest.mark.parametrize(
    ("matrix", "word"),
    [
        (np.array([[0, np.nan], [1, 0]]), "NaN"),
        (np.array([[0, np.inf], [np.inf, 0]]), "infinity"),
        (np.array([[0, -1.0], [-1, 0]]), "negative"),
        (np.ones((2, 3)), "2×3"),
    ],
)
def test_refused(matrix: Any, word: str) -> None:
    with pytest.raises(GraphError, match=word):
        from_adjacency(sp.csr_matrix(matrix))


@pytest.mark.parametrize("n", [0, 1, 4])
def test_no_edges(n: int) -> None:
    graph, notice = from_adjacency(sp.csr_matrix((n, n)))
    assert (graph.n_vertices, graph.edges.shape, graph.weights.shape, notice) == (n, (0, 2), (0,), None)
    assert graph.to_csr().shape == (n, n)
    assert graph.modularity(np.zeros(n, np.int32)) == 0


@st.composite
def graphs(draw: Any) -> tuple[Graph, Any]:
    n = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    dense = np.triu(rng.random((n, n)) * (rng.random((n, n)) < draw(st.sampled_from([0.1, 0.5, 1]))), 1)
    return from_adjacency(dense + dense.T)[0], rng.integers(0, draw(st.integers(1, n)), n).astype(np.int32)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([0.1, 1.0, 3.0]))
def test_round_trip_and_modularity(drawn: tuple[Graph, Any], resolution: float) -> None:
    graph, labels = drawn
    matrix = graph.to_csr()
    again, notice = from_adjacency(matrix)
    assert notice is None
    np.testing.assert_array_equal(again.edges, graph.edges)
    np.testing.assert_array_equal(again.weights, graph.weights)
    if not len(graph.edges):
        return
    # Newman's sum over pairs of vertices, with nothing shared with the code under test.
    a = matrix.toarray().astype(np.float64)
    strength, two_m = a.sum(1), a.sum()
    same = labels[:, None] == labels[None, :]
    by_pairs = ((a - resolution * np.outer(strength, strength) / two_m) * same).sum() / two_m
    assert graph.modularity(labels, resolution) == pytest.approx(by_pairs, abs=1e-9)
    prepared = to_igraph(graph)
    by_igraph = prepared.graph.modularity(labels.tolist(), weights=prepared.weights.tolist(), resolution=resolution)
    assert graph.modularity(labels, resolution) == pytest.approx(by_igraph, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 15), st.integers(1, 20), st.integers(0, 10**6))
def test_fuzzy_union(n: int, rows: int, seed: int) -> None:
    """In blocks of any size, with rows without edges, weights of 0, and targets in any order."""
    rng = np.random.default_rng(seed)
    there = (rng.random((n, n)) < 0.4) & (rng.random(n) < 0.8)[:, None]
    np.fill_diagonal(there, False)
    directed = np.where(there & (rng.random((n, n)) < 0.9), rng.random((n, n)), 0).astype(np.float32)
    source, target = np.nonzero(there)
    mixed = np.lexsort((rng.random(len(source)), source))
    starts = np.concatenate([[0], np.cumsum(there.sum(1))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cellstrata.tasks.kernels.graph.ROWS", rows)
        graph = from_directed(n, starts, target[mixed].astype(np.int32), directed[source, target][mixed])
    expected = directed + (directed.T - directed * directed.T)
    check(graph, expected)
    lower = np.triu(expected, 1)  # of a pair the lower vertex's own weight comes first, to the last bit
    np.testing.assert_array_equal(graph.weights, lower[np.nonzero(lower)])


def test_acceptance_cases() -> None:
    assert golden().modularity(np.array(GOLDEN_LABELS, np.int32)) == pytest.approx(GOLDEN_MODULARITY, abs=1e-6)
    club = karate()
    assert len(club.edges) == 78
    assert club.modularity(np.zeros(34, np.int32)) == pytest.approx(0)


def test_stored_graph_of_pbmc_is_its_own_triangle() -> None:
    stored = pbmc().obsp["connectivities"]
    graph, notice = from_adjacency(stored)
    assert notice is None
    assert 2 * len(graph.edges) == stored.nnz
    assert abs(graph.to_csr() - stored).max() <= 1e-6


def test_graph_of_cells_is_symmetric() -> None:
    matrix = graph_of(np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)).to_csr()
    assert abs(matrix - matrix.T).max() == 0


@pytest.mark.parametrize("scale", [1e-200, 1e-42, 1e200])
def test_weights_that_float32_cannot_hold(scale: float) -> None:
    graph, notice = from_adjacency(sp.csr_matrix(PAIR.astype(np.float64) * scale))
    assert notice is None
    check(graph, PAIR / PAIR.max())


def test_weights_that_float32_holds_stay_as_they_are() -> None:
    weights = np.array([1e-30, 0.25, 1e20])
    matrix = sp.coo_matrix((weights, ([0, 1, 2], [1, 2, 3])), shape=(4, 4))
    graph, _ = from_adjacency(matrix.maximum(matrix.T))
    np.testing.assert_array_equal(graph.weights, weights.astype(np.float32))
