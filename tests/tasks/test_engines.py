from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.engines import (
    ENGINES,
    Algorithm,
    Choice,
    EngineUnavailable,
    PartitionSpec,
    choose,
    engine_version,
    load_engine,
)
from tasks.graph import Graph, from_adjacency
from tasks.partition import Partition, number_by_size, partition
from tests.tasks.small import (
    GOLDEN_LABELS,
    GOLDEN_MODULARITY,
    as_graph,
    golden,
    karate,
    pbmc,
    same_partition,
)

# Every engine with every algorithm it has; a new entry in the registry is tested without a change here.
CASES = [(name, algorithm) for name in ENGINES for algorithm in load_engine(name).algorithms]
every_engine = pytest.mark.parametrize(("engine", "algorithm"), CASES)


def run(graph: Graph, engine: str, algorithm: Algorithm, resolution: float = 1.0, **more: Any) -> Partition:
    found = partition(graph, PartitionSpec(algorithm, resolution, **more), load_engine(engine))
    assert found.labels.shape == (graph.n_vertices,)
    assert found.labels.dtype == np.int32
    assert found.sizes == np.bincount(found.labels, minlength=1).tolist()[: len(found.sizes)]
    assert sum(found.sizes) == graph.n_vertices
    assert found.sizes == sorted(found.sizes, reverse=True)
    assert found.modularity == pytest.approx(graph.modularity(found.labels))
    assert found.quality == pytest.approx(graph.modularity(found.labels, resolution))
    return found


def planted(blocks: int, size: int, inside: float = 0.4, outside: float = 0.01, seed: int = 0) -> tuple[Graph, Any]:
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(blocks), size))
    chance = np.where(of[:, None] == of[None, :], inside, outside)
    upper = np.triu(rng.random(chance.shape) < chance, 1)
    return from_adjacency((upper | upper.T).astype(np.float32))[0], of


@every_engine
def test_golden(engine: str, algorithm: Algorithm) -> None:
    found = run(golden(), engine, algorithm)
    assert found.labels.tolist() == GOLDEN_LABELS
    assert found.modularity == pytest.approx(GOLDEN_MODULARITY, abs=1e-6)


@every_engine
def test_karate_club(engine: str, algorithm: Algorithm) -> None:
    found = [run(karate(), engine, algorithm, n_iterations=-1, seed=seed) for seed in range(10)]
    best = max(found, key=lambda each: each.modularity)
    assert len(best.sizes) == 4
    assert 0.4188 <= best.modularity <= 0.4199  # 0.4198 is the optimum
    assert min(each.modularity for each in found) >= 0.38


@every_engine
@pytest.mark.parametrize(("blocks", "size"), [(2, 30), (5, 60), (12, 40)])
def test_planted_partitions(blocks: int, size: int, engine: str, algorithm: Algorithm) -> None:
    graph, truth = planted(blocks, size)
    assert same_partition(run(graph, engine, algorithm).labels, truth)


@every_engine
def test_isolated_vertices_and_components(engine: str, algorithm: Algorithm) -> None:
    triangles = [(0, 1), (1, 2), (0, 2), (4, 5), (5, 6), (4, 6)]
    found = run(as_graph(8, triangles), engine, algorithm)
    assert same_partition(found.labels, [0, 0, 0, 1, 2, 2, 2, 3])
    assert found.sizes == [3, 3, 1, 1]
    assert found.labels.tolist() == [0, 0, 0, 2, 1, 1, 1, 3]  # numbered by size, ties by first cell


@every_engine
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_without_edges_one_community(n: int, engine: str, algorithm: Algorithm) -> None:
    found = run(as_graph(n, []), engine, algorithm)
    assert found.sizes == ([n] if n else [])
    assert (found.note is not None) == (n > 1)


@every_engine
def test_two_vertices(engine: str, algorithm: Algorithm) -> None:
    assert run(as_graph(2, [(0, 1)]), engine, algorithm).labels.tolist() == [0, 0]


@every_engine
def test_seed_decides(engine: str, algorithm: Algorithm) -> None:
    graph, _ = planted(4, 60, 0.12, 0.06)  # noisy: seeds differ
    found = [run(graph, engine, algorithm, seed=seed).labels for seed in range(6)]
    again = [run(graph, engine, algorithm, seed=seed).labels for seed in range(6)]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({labels.tobytes() for labels in found}) > 1


@every_engine
def test_resolution_is_honoured(engine: str, algorithm: Algorithm) -> None:
    graph, _ = planted(6, 40, 0.3, 0.03)
    counts = [len(run(graph, engine, algorithm, r).sizes) for r in (0.05, 0.3, 1, 3, 8, 20)]
    assert counts[0] == 1
    assert counts[2] == 6
    assert counts[-1] > 40
    assert all(b >= a - 1 for a, b in itertools.pairwise(counts)), counts


@every_engine
def test_weights_matter(engine: str, algorithm: Algorithm) -> None:
    # A ring of six: heavy edges pair its vertices one way, then the other.
    ring = [(i, (i + 1) % 6) for i in range(6)]
    one = run(as_graph(6, ring, [9, 0.1] * 3), engine, algorithm)
    other = run(as_graph(6, ring, [0.1, 9] * 3), engine, algorithm)
    assert same_partition(one.labels, [0, 0, 1, 1, 2, 2])
    assert same_partition(other.labels, [0, 1, 1, 2, 2, 0])
    unweighted = [run(as_graph(6, ring, w), engine, algorithm, use_weights=False) for w in ([9, 0.1] * 3, [0.1, 9] * 3)]
    np.testing.assert_array_equal(unweighted[0].labels, unweighted[1].labels)


@every_engine
def test_float64_input_gives_the_same(engine: str, algorithm: Algorithm) -> None:
    graph, _ = planted(3, 40)
    matrix = graph.to_csr()
    again, _ = from_adjacency(matrix.astype(np.float64))
    np.testing.assert_array_equal(run(graph, engine, algorithm).labels, run(again, engine, algorithm).labels)


@every_engine
def test_prepared_graph_serves_many_times(engine: str, algorithm: Algorithm) -> None:
    graph, _ = planted(4, 60, 0.12, 0.06)
    loaded = load_engine(engine)
    prepared = loaded.prepare(graph)
    for resolution in (0.5, 2.0, 0.5):
        spec = PartitionSpec(algorithm, resolution)
        with_it = partition(graph, spec, loaded, prepared)
        np.testing.assert_array_equal(with_it.labels, partition(graph, spec, loaded).labels)


@every_engine
def test_leaves_pythons_random_numbers_alone(engine: str, algorithm: Algorithm) -> None:
    import random

    random.seed(5)
    expected = random.random()
    random.seed(5)
    run(karate(), engine, algorithm)
    assert random.random() == expected


def test_leiden_is_no_worse_than_louvain() -> None:
    graph, _ = planted(6, 40, 0.3, 0.05)
    louvain = run(graph, "igraph", "louvain").modularity
    for engine in ENGINES:
        assert run(graph, engine, "leiden").modularity >= 0.97 * louvain


def test_modularity_as_good_as_scanpys() -> None:
    import scanpy as sc

    adata = pbmc()
    graph, _ = from_adjacency(adata.obsp["connectivities"])
    engine = load_engine("igraph")
    prepared = engine.prepare(graph)
    for resolution in (0.2, 0.5, 1.0, 2.0):
        ours, theirs = [], []
        for seed in range(5):
            ours.append(partition(graph, PartitionSpec("leiden", resolution, 2, seed), engine, prepared).quality)
            sc.tl.leiden(
                adata,
                resolution,
                random_state=seed,
                flavor="igraph",
                n_iterations=2,
                directed=False,
                key_added="x",
            )
            theirs.append(graph.modularity(adata.obs["x"].cat.codes.to_numpy(), resolution))
        assert np.mean(ours) >= 0.995 * np.mean(theirs), resolution


@settings(max_examples=200, deadline=None)
@given(arrays(np.int64, st.integers(0, 60), elements=st.integers(-3, 9)))
def test_numbering_by_size_ties_by_first_cell(labels: npt.NDArray[np.int64]) -> None:
    numbered, sizes = number_by_size(labels)
    assert same_partition(labels, numbered)
    assert numbered.dtype == np.int32
    assert sizes == [int((numbered == c).sum()) for c in range(len(sizes))]
    assert set(numbered.tolist()) == set(range(len(sizes)))
    first = [int(np.flatnonzero(numbered == c)[0]) for c in range(len(sizes))]
    order = list(zip([-size for size in sizes], first, strict=True))
    assert order == sorted(order)


def test_choice_and_its_reason() -> None:
    assert choose(None, False) == Choice("igraph", "the default")
    assert choose("leidenalg", False) == Choice("leidenalg", "asked for")
    assert choose("leidenalg", True).engine == "leidenalg"
    there = choose(None, True)
    assert there.engine == "igraph"
    assert "GPU" in there.reason
    for engine in (None, "igraph"):
        with pytest.raises(EngineUnavailable, match="required"):
            choose(engine, "required")


def test_unknown_and_missing_engines(monkeypatch: Any) -> None:
    with pytest.raises(EngineUnavailable, match="igraph, leidenalg"):
        load_engine("walktrap")
    monkeypatch.setitem(ENGINES, "absent", "no_such_package:Engine")
    with pytest.raises(EngineUnavailable, match="no_such_package"):
        load_engine("absent")


def test_versions_name_the_packages() -> None:
    assert engine_version(load_engine("leidenalg")).startswith("leidenalg ")
    assert "igraph " in engine_version(load_engine("leidenalg"))


IMPORTS = """
import sys
import tasks.split, tasks.neighbors, tasks.worker
from tasks.engines import ENGINES, load_engine
from tasks.partition import partition
from tasks.engines import PartitionSpec
from tests.tasks.small import karate
for name in ENGINES:
    partition(karate(), PartitionSpec("leiden", 1.0), load_engine(name))
heavy = "matplotlib plotly scanpy umap numba prefect anndata pandas cupy cugraph torch".split()
found = [name for name in heavy if name in sys.modules]
assert not found, found
import matplotlib  # still there for whoever wants it
"""


def test_a_worker_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, timeout=60)
