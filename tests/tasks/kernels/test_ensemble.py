"""Many runs joined into one partition: what must hold for any graph and any runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from cellstrata.tasks.kernels.engine_cellstrata import ordered
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.ensemble import STRIDE, _Contracted, agreement, consensus, run_spec
from cellstrata.tasks.kernels.graph import Graph, from_adjacency
from cellstrata.tasks.kernels.partition import number_by_size
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

Labels = npt.NDArray[np.int32]
SPEC = PartitionSpec("leiden", 1.0)


def random_graph(seed: int, n: int = 60, mean_degree: float = 5.0) -> Graph:
    """A graph of random edges and weights."""
    rng = np.random.default_rng(seed)
    matrix = np.triu(rng.random((n, n)) < mean_degree / n, 1) * rng.random((n, n))
    return from_adjacency(matrix + matrix.T)[0]


def runs_of(graph: Graph, spec: PartitionSpec, number: int) -> list[Labels]:
    """Runs of igraph's Leiden with the seeds of an ensemble."""
    engine = load_engine("igraph")
    form = engine.prepare(graph)
    return [
        np.asarray(engine.partition(form, PartitionSpec("leiden", spec.resolution, seed=seed)), np.int32)
        for seed in range(1_000 * spec.seed, 1_000 * spec.seed + number)
    ]


def is_connected(graph: Graph, labels: Labels) -> bool:
    """Tell whether the cells of each cluster hang together."""
    adjacency = graph.to_csr()
    return all(connected_components(adjacency[labels == label][:, labels == label])[0] == 1 for label in set(labels))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 1.0, 3.0]), st.integers(2, 6))
def test_it_is_connected_and_no_worse_than_its_best_run(seed: int, resolution: float, number: int) -> None:
    graph, spec = random_graph(seed), PartitionSpec("leiden", resolution, seed=seed)
    runs = runs_of(graph, spec, number)
    found = consensus(graph, spec, runs)
    assert found.quality >= max(graph.modularity(labels, resolution) for labels in runs) - 1e-12
    assert found.quality == pytest.approx(graph.modularity(found.labels, resolution))
    assert is_connected(graph, found.labels)
    assert list(found.cores) == sorted(set(found.cores), reverse=True)
    again = consensus(graph, spec, runs)
    assert np.array_equal(found.labels, again.labels)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_runs_that_all_give_one_partition_give_that(seed: int, number: int) -> None:
    graph = random_graph(seed)
    (run,) = runs_of(graph, SPEC, 1)
    other_numbers = [(run.max() - run).astype(np.int32) if at % 2 else run for at in range(number)]
    found = consensus(graph, SPEC, other_numbers)
    assert np.array_equal(number_by_size(found.labels)[0], number_by_size(run)[0])
    assert found.agreement == 1.0


def two_cliques() -> tuple[Graph, Labels]:
    """Two cliques of ten with a bridge, and which one each vertex is of."""
    matrix = np.zeros((20, 20))
    matrix[:10, :10] = matrix[10:, 10:] = 1
    np.fill_diagonal(matrix, 0)
    matrix[9, 10] = matrix[10, 9] = 0.5
    return from_adjacency(matrix)[0], np.repeat([0, 1], 10).astype(np.int32)


def test_two_cliques_and_a_bridge_are_told_apart_whatever_single_runs_say() -> None:
    graph, halves = two_cliques()
    odd = halves.copy()
    odd[3] = 2  # one run sets a cell apart, another puts all together
    found = consensus(graph, SPEC, [odd, np.zeros(20, np.int32)])
    assert np.array_equal(number_by_size(found.labels)[0], halves)
    assert found.quality > graph.modularity(odd)
    assert found.cores[0] == 3  # halves and the odd one: what is together in one run alone is not


def test_a_cell_that_all_runs_put_into_the_wrong_cluster_finds_its_own() -> None:
    graph, halves = two_cliques()
    wrong = halves.copy()
    wrong[9] = 1  # one core with its neighbor beyond the bridge, in every run
    other = wrong.copy()
    other[3] = 2
    for engine in (None, lambda: load_engine("cellstrata").prepare(graph)):
        found = consensus(graph, SPEC, [wrong, other], engine)
        assert np.array_equal(number_by_size(found.labels)[0], halves)


def test_weights_count_only_if_they_are_asked_for() -> None:
    graph = random_graph(3)
    unweighted = Graph(graph.n_vertices, graph.edges, np.ones_like(graph.weights))
    spec = PartitionSpec("leiden", 1.0, use_weights=False)
    runs = runs_of(unweighted, spec, 4)
    assert np.array_equal(consensus(graph, spec, runs).labels, consensus(unweighted, SPEC, runs).labels)


def test_ensembles_share_no_run_and_a_larger_one_has_those_of_a_smaller() -> None:
    specs = [replace(SPEC, seed=seed, ensemble=8) for seed in (0, 1)]
    seeds = [[run_spec(spec, number).seed for number in range(STRIDE)] for spec in specs]
    assert seeds[0][:3] == [0, 1, 2]
    assert not set(seeds[0]) & set(seeds[1])
    assert run_spec(replace(SPEC, seed=2**40, ensemble="auto"), 7).seed < 2**31  # what every engine takes
    assert agreement([np.zeros(3, np.int32)]) == 1.0


def test_clusters_of_an_engine_that_do_not_hang_together_fall_into_their_parts() -> None:
    matrix = np.zeros((9, 9))
    for start in (0, 3, 6):
        matrix[start : start + 3, start : start + 3] = 1
    np.fill_diagonal(matrix, 0)
    graph, _ = from_adjacency(matrix)
    torn = np.repeat([0, 1, 0], 3).astype(np.int32)  # the first and the last triangle are one, without an edge between
    found = consensus(graph, SPEC, [torn, torn])
    assert number_by_size(found.labels)[1] == [3, 3, 3]
    assert found.quality == pytest.approx(graph.modularity(found.labels))
    assert found.quality > graph.modularity(torn)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_the_names_of_clusters_in_the_runs_decide_nothing(seed: int, number: int) -> None:
    graph = random_graph(seed)
    runs = runs_of(graph, SPEC, number)
    renamed = [(run.max() - run).astype(np.int32) for run in runs]
    found, again = consensus(graph, SPEC, runs), consensus(graph, SPEC, renamed)
    assert np.array_equal(number_by_size(found.labels)[0], number_by_size(again.labels)[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 3))
def test_the_quality_of_groups_of_cores_is_that_of_their_cells(seed: int, resolution: float) -> None:
    graph = random_graph(seed)
    cores = _Contracted.of(graph, ordered(graph.n_vertices, graph.edges, graph.weights)).cores(runs_of(graph, SPEC, 3))
    labels = np.random.default_rng(seed).integers(0, 4, cores.n_vertices).astype(np.int32)
    expected = graph.modularity(labels[cores.members], resolution)
    assert cores.quality(labels, resolution) == pytest.approx(expected, abs=1e-12)


def permuted(graph: Graph, order: npt.NDArray[np.int64]) -> Graph:
    """The same graph with its vertices in another order: vertex `order[i]` is now the `i`-th."""
    return from_adjacency(graph.to_csr()[order][:, order])[0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_cells_decides_nothing_that_planted_clusters_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 12)
    within = truth[:, None] == truth[None, :]
    matrix = np.triu(np.where(within, rng.random((48, 48)) < 0.8, rng.random((48, 48)) < 0.03), 1)
    graph = from_adjacency((matrix + matrix.T).astype(np.float64))[0]
    order = rng.permutation(48)
    moved = permuted(graph, order)
    here = consensus(graph, SPEC, runs_of(graph, SPEC, 4)).labels
    there = consensus(moved, SPEC, runs_of(moved, SPEC, 4)).labels
    assert adjusted_rand_index(here[order], there) == 1.0
