"""Graphs in the cache: what is written is read, from a local disk without a copy; what is damaged is no graph."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cellstrata.tasks.cache.cache import Cache, array_folder
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.trees.graphs import read_graph, write_graph
from tests.tasks.small import cache_at

KEY, LARGE = "a" * 32, 100_000  # cells: its arrays lie in files of their own


def ring(n: int) -> Graph:
    """A ring of cells."""
    edges = np.column_stack([np.arange(n - 1), np.arange(1, n)])
    edges = np.vstack([edges[:1], [[0, n - 1]], edges[1:]]).astype(np.int32)
    return Graph(n, edges, np.linspace(0.1, 1, n, dtype=np.float32))


def written(cache: Cache, n: int) -> Graph:
    graph = ring(n)
    write_graph(cache, KEY, graph, "by hand")
    return graph


@pytest.mark.parametrize("n", [10, LARGE])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_what_is_written_is_read(tmp_path: Path, n: int, place: str) -> None:
    cache = cache_at(tmp_path if place == "disk" else f"memory://{tmp_path.name}-{n}")
    graph = written(cache, n)
    found = read_graph(cache, KEY)
    assert found is not None
    assert found[1] == "by hand"
    assert found[0].n_vertices == n
    assert np.array_equal(found[0].edges, graph.edges)
    assert np.array_equal(found[0].weights, graph.weights)


def test_processes_share_a_large_graph(tmp_path: Path) -> None:
    graph = written(cache_at(tmp_path), LARGE)
    tracemalloc.start()
    try:
        found = read_graph(cache_at(tmp_path), KEY)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert type(found[0].edges) is np.ndarray, "compiled code takes no others"
    assert taken < graph.weights.nbytes / 4


@pytest.mark.parametrize("harm", ["changed", "cut short", "gone"])
def test_a_damaged_graph_is_none(tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_at(tmp_path)
    written(cache, LARGE)
    record = cache.read_record(KEY)
    assert record is not None
    path = tmp_path / array_folder(record.array("weights").digest) / "c" / "0"
    data = bytearray(path.read_bytes())
    path.unlink()
    if harm != "gone":
        data[-1] ^= 1
        path.write_bytes(data if harm == "changed" else data[:-4])
    with caplog.at_level(logging.WARNING):
        assert read_graph(cache, KEY) is None
    assert f"the graph {KEY} is computed again" in caplog.text
