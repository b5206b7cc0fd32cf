"""Our own Leiden: what must hold on any graph, and the labels that it gives."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from cellstrata.tasks.kernels import leiden, leiden_loops
from cellstrata.tasks.kernels.engine_cellstrata import CellstrataEngine, ordered
from cellstrata.tasks.kernels.engines import PartitionSpec, engine_version
from cellstrata.tasks.kernels.graph import Graph, from_adjacency

Labels = npt.NDArray[np.int32]
graphs = st.builds(
    lambda seed, n, degree: random_graph(seed, n, degree),
    st.integers(0, 10_000),
    st.integers(2, 80),
    st.floats(0.5, 12),
)
resolutions = st.sampled_from([0.1, 0.5, 1.0, 3.0, 20.0])


def random_graph(seed: int, n: int, mean_degree: float) -> Graph:
    """A graph of random edges and weights, some vertices without any."""
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.random((n, n)) < mean_degree / n, 1) * rng.random((n, n))
    return from_adjacency(matrix + matrix.T)[0]


def large_graph() -> Graph:
    """A graph of 3,000 vertices on a ring with chords: more than one block of visits."""
    rng = np.random.default_rng(0)
    one = np.repeat(np.arange(3000), 6)
    other = (one + rng.integers(1, 40, len(one))) % 3000
    matrix = np.zeros((3000, 3000), np.float32)
    matrix[one, other] = rng.random(len(one))
    return from_adjacency(np.maximum(matrix, matrix.T))[0]


def labels_of(graph: Graph, resolution: float = 1.0, seed: int = 0, n_iterations: int = 2) -> Labels:
    form = ordered(graph.n_vertices, graph.edges, graph.weights)
    return form.partition(resolution, seed, n_iterations)


@settings(max_examples=60, deadline=None)
@given(graphs, resolutions, st.integers(0, 2**31 - 1), st.sampled_from([0, 1, 2, -1]))
def test_every_cluster_hangs_together_and_no_vertex_would_rather_be_alone(
    graph: Graph, resolution: float, seed: int, n_iterations: int
) -> None:
    if not len(graph.edges):
        return
    found = labels_of(graph, resolution, seed, n_iterations)
    assert sorted(set(found.tolist())) == list(range(found.max() + 1))
    adjacency = graph.to_csr()
    for label in set(found.tolist()):
        inside = found == label
        assert connected_components(adjacency[inside][:, inside])[0] == 1
    alone = graph.modularity(np.arange(graph.n_vertices, dtype=np.int32), resolution)
    assert graph.modularity(found, resolution) >= alone - 1e-9
    assert np.array_equal(found, labels_of(graph, resolution, seed, n_iterations))


@settings(max_examples=60, deadline=None)
@given(graphs, resolutions, st.integers(0, 10_000))
def test_it_never_lowers_the_quality_of_its_start(graph: Graph, resolution: float, seed: int) -> None:
    if not len(graph.edges):
        return
    start = np.random.default_rng(seed).integers(0, 5, graph.n_vertices).astype(np.int32) % graph.n_vertices
    form = ordered(graph.n_vertices, graph.edges, graph.weights)
    for n_iterations in (0, 1, 3):
        found = form.partition(resolution, seed, n_iterations, start)
        assert graph.modularity(found, resolution) >= graph.modularity(start, resolution) - 1e-9
        again = form.partition(resolution, seed, n_iterations, found)
        assert graph.modularity(again, resolution) >= graph.modularity(found, resolution) - 1e-9


@settings(max_examples=40, deadline=None)
@given(graphs, resolutions, st.floats(1e-30, 1e20))
def test_the_scale_of_weights_decides_nothing(graph: Graph, resolution: float, scale: float) -> None:
    if not len(graph.edges):
        return
    exact = np.float32(2.0 ** np.round(np.log2(scale)))  # no digit is lost
    scaled = Graph(graph.n_vertices, graph.edges, graph.weights * exact)
    assert np.array_equal(labels_of(graph, resolution), labels_of(scaled, resolution))


@settings(max_examples=60, deadline=None)
@given(graphs, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 10_000))
def test_common_parts_are_what_hangs_together_in_every_partition(graph: Graph, clusters: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = [rng.integers(0, number, graph.n_vertices).astype(np.int32) for number in clusters]
    one, other = graph.edges[:, 0], graph.edges[:, 1]
    kept = np.all([run[one] == run[other] for run in runs], axis=0)
    together = Graph(graph.n_vertices, graph.edges[kept], graph.weights[kept]).to_csr()
    expected = connected_components(together, directed=False)
    count, parts = ordered(graph.n_vertices, graph.edges, graph.weights).common_parts(runs)
    assert count == expected[0]
    assert np.array_equal(parts, expected[1])  # numbered by their first vertex, too


def test_groups_count_with_what_is_within_them() -> None:
    """A graph contracted to its clusters has the quality of these clusters: strengths stand for what is within."""
    graph = large_graph()
    found = labels_of(graph, 0.5)
    rows = ordered(graph.n_vertices, graph.edges, graph.weights)
    part = np.ascontiguousarray(found[rows.order])
    starts, targets, weights, strengths = leiden.contract(rows.adjacency, part, int(part.max()) + 1)
    total = rows.adjacency.strengths.sum()
    assert strengths.sum() == pytest.approx(total)
    within = 1 - weights.astype(np.float64).sum() / total
    assert within - 0.5 * np.square(strengths / total).sum() == pytest.approx(graph.modularity(found, 0.5), abs=1e-6)
    assert (np.diff(starts) > 0).all()
    assert len(targets) == starts[-1]


def test_more_iterations_find_more() -> None:
    graph = large_graph()
    few, more, stable = (
        np.mean([graph.modularity(labels_of(graph, 1.0, seed, n)) for seed in range(5)]) for n in (1, 3, -1)
    )
    assert few < more < stable


def test_threads_that_compute_at_once_give_the_same() -> None:
    graph = large_graph()
    form = ordered(graph.n_vertices, graph.edges, graph.weights)
    alone = [form.partition(1.0, seed, 2) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: form.partition(1.0, seed, 2), range(8)))
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_labels_are_those_that_the_key_stands_for() -> None:
    """Other labels need another SCHEME of the engine. Neither numba nor Python may change them."""
    graph, engine = large_graph(), CellstrataEngine()
    assert engine_version(engine) == "cellstrata 1"
    form, digests = engine.prepare(graph), []
    for algorithm, n_iterations in (("leiden", 2), ("leiden", -1), ("louvain", 2)):
        spec = PartitionSpec(algorithm, 1.0, n_iterations=n_iterations, seed=7)  # type: ignore[arg-type]
        digests.append(hashlib.sha256(np.asarray(engine.partition(form, spec), "<i4").tobytes()).hexdigest()[:12])
    assert digests == ["1efced433922", "1efced433922", "9960a5737586"]


def test_numbers_are_drawn_evenly_below_a_limit() -> None:
    state = leiden.generator(3)
    drawn = np.array([leiden_loops.below(state, 7) for _ in range(7000)])
    assert set(drawn) == set(range(7))
    assert abs(np.bincount(drawn) - 1000).max() < 150
    order = leiden.visiting_order(5000, leiden.generator(1))
    assert sorted(order) == list(range(5000))
    assert not np.array_equal(order, leiden.visiting_order(5000, leiden.generator(2)))


WHERE_NOTHING_CAN_BE_KEPT = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from cellstrata.tasks.kernels.leiden_loops import number_labels
labels = np.array([5, 5, 0], np.int32)
assert number_labels(labels, np.zeros(6, np.int32)) == 2
assert labels.tolist() == [0, 0, 1]
"""


def test_it_compiles_where_nothing_can_be_kept() -> None:
    subprocess.run([sys.executable, "-c", WHERE_NOTHING_CAN_BE_KEPT], check=True, timeout=300)


def test_what_is_compiled_is_kept(tmp_path: Path) -> None:
    code = "import numpy as np\nfrom cellstrata.tasks.kernels.leiden_loops import number_labels as f\n"
    code += "f(np.zeros(1, np.int32), np.full(1, -1, np.int32))\nprint(sum(f.stats.cache_hits.values()))"
    run = [sys.executable, "-c", code]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    hits = [subprocess.run(run, check=True, env=environment, capture_output=True, text=True).stdout for _ in range(2)]
    assert [int(each) for each in hits] == [0, 1]
