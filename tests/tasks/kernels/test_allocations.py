"""How much memory the steps of a split take at most, in bytes of an edge: counted, so that it stays.

A machine's speed and its other work decide nothing here. Ten million cells fit into memory only while these hold.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engine_cellstrata import CellstrataEngine
from cellstrata.tasks.kernels.engines import PartitionSpec
from cellstrata.tasks.kernels.ensemble import consensus, run_spec
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn import Neighbors, nearest_neighbors

N, K = 20_000, 15
ENGINE = CellstrataEngine()


def peak(call: Callable[[], Any]) -> tuple[Any, int]:
    """Return what a call returns, and the bytes that were allocated at most while it ran, what it returns included."""
    call()  # what is imported and compiled on the first call does not count
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def neighbors() -> Neighbors:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(30, 10))[rng.integers(0, 30, N)] * 6 + rng.normal(size=(N, 10))
    return nearest_neighbors(points.astype(np.float32), K)


@pytest.fixture(scope="module")
def graph(neighbors: Neighbors) -> Graph:
    return connectivities(neighbors)


def test_a_graph_of_neighbors(neighbors: Neighbors) -> None:
    graph, taken = peak(lambda: connectivities(neighbors))
    assert taken < 75 * len(graph.edges), "bytes an edge, of which the graph is 12"


def test_what_an_engine_makes_of_it(graph: Graph) -> None:
    form, taken = peak(lambda: ENGINE.prepare(graph))
    assert taken < 40 * len(graph.edges), "bytes an edge, of which 16 are kept"
    assert sum(array.nbytes for array in form.adjacency) < 16 * len(graph.edges) + 20 * N


def test_a_partition(graph: Graph) -> None:
    form = ENGINE.prepare(graph)
    _, taken = peak(lambda: ENGINE.partition(form, PartitionSpec("leiden", 1.0)))
    assert taken < 28 * len(graph.edges)


def test_the_runs_of_an_ensemble_joined(graph: Graph) -> None:
    form, spec = ENGINE.prepare(graph), PartitionSpec("leiden", 1.0, ensemble=8)
    runs = [ENGINE.partition(form, run_spec(spec, number)).astype(np.int32) for number in range(8)]
    _, taken = peak(lambda: consensus(graph, spec, runs, lambda: form))
    assert taken < 28 * len(graph.edges)
