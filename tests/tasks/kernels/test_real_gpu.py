"""What only a GPU can show, beyond the contract in `test_engines`. Skipped without one; REQUIRE_GPU=1 fails it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.planted import planted_graph
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.gpu import gpu_status
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import Guard, partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.trees.placement import Placement
from cellstrata.tasks.trees.umap import compute_umap
from tests.tasks.gpu_stand_in import StandIn
from tests.tasks.small import blobs, cache_at, grow, karate, plan_for

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("n", [2_000, 20_000, 200_000, 1_000_000])
def test_planted_partitions_are_recovered(n: int) -> None:
    graph, truth = planted_graph(n, blocks=8)
    found = partition(graph, PartitionSpec("leiden", 1.0), load_engine("rapids"), guard=Guard(50))
    assert found.fallback is None
    assert adjusted_rand_index(found.labels, truth) >= 0.99


@pytest.mark.parametrize("resolution", [0.1, 0.5, 1.0, 2.0])
def test_modularity_is_nearly_the_cpus(resolution: float) -> None:
    graph, _ = planted_graph(50_000, blocks=40, inside=0.7)
    spec = PartitionSpec("leiden", resolution)
    gpu, cpu = (partition(graph, spec, load_engine(name)) for name in ("rapids", "igraph"))
    assert gpu.quality >= 0.95 * cpu.quality


def test_repeats_are_the_same() -> None:
    graph, _ = planted_graph(75_000, blocks=40, inside=0.6)
    first, *others = [partition(graph, PartitionSpec("leiden", 1.0), load_engine("rapids")).labels for _ in range(5)]
    assert min(adjusted_rand_index(first, other) for other in others) >= 0.99


def test_leiden_against_louvain() -> None:
    engine = load_engine("rapids")
    leiden = partition(karate(), PartitionSpec("leiden", 1.0), engine)
    louvain = partition(karate(), PartitionSpec("louvain", 1.0), engine)
    assert leiden.modularity >= 0.75 * louvain.modularity


def test_a_tree_at_every_level(tmp_path: Path) -> None:
    cells = blobs([3000, 2000, 1000], 20)[0]
    cache = cache_at(tmp_path)
    placement = Placement("required", 500, 50, 1.0, gpu_status())
    outcomes = grow(plan_for(cache, cells, 2, placement=placement), cache).tree.outcomes.values()
    checks = [outcome.facts.gpu_check for outcome in outcomes if outcome.facts and outcome.facts.gpu_check]
    assert checks
    assert max(check["modularity_gap"] for check in checks) <= 0.05


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbors(metric: Any) -> None:
    method = gpu_status().knn
    if not method:
        pytest.skip("cuVS is not installed: pip install '.[rapids-cu13]'")
    cells = blobs([4000, 3000, 3000], 30)[0]
    gpu, cpu = neighbors_by(method, cells, 15, metric), nearest_neighbors(cells, 15, metric)
    assert gpu.method == method
    assert (gpu.indices[:, 0] == np.arange(len(cells))).all()
    shared = [len(np.intersect1d(a[1:], b[1:])) for a, b in zip(gpu.indices, cpu.indices, strict=True)]
    assert sum(shared) / (14 * len(cells)) > 0.9


def test_umap(tmp_path: Path) -> None:
    method = gpu_status().umap
    if not method:
        pytest.skip("rapids-singlecell is not installed: pip install '.[rapids-cu13]'")
    cells, of = blobs([2000, 1000], 10)
    cache = cache_at(tmp_path)
    plan = plan_for(cache, cells)
    ((_, ref),) = plan.embeddings.items()
    found = compute_umap(cache, plan.root_graph, ref, "euclidean", 10, 0, method)
    assert found.fallback is None
    drawn = cache.get(found.coordinates)
    apart = np.linalg.norm(drawn[of == 0].mean(0) - drawn[of == 1].mean(0))
    assert apart > 2 * max(drawn[of == part].std(0).max() for part in (0, 1))


def test_signatures_are_those_of_the_stand_ins() -> None:
    if gpu_status().backend != "rapids-singlecell":
        pytest.skip("pylibcugraph is compiled and tells no signatures: pip install '.[rapids-cu13]'")
    import rapids_singlecell

    for name in ("leiden", "louvain", "umap"):
        ours = inspect.signature(getattr(StandIn().rapids().tl, name)).parameters
        theirs = inspect.signature(getattr(rapids_singlecell.tl, name)).parameters
        assert set(ours) - {"random_state"} <= set(theirs), name  # `rng` took over, and it is still accepted
