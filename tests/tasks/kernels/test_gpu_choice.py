"""Where work runs, and what becomes of it when a GPU does it wrong: no GPU is needed for any of this."""

from __future__ import annotations

import logging
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from cellstrata.configs import ClusteringConfig
from cellstrata.tasks.kernels.engines import Algorithm, EngineUnavailable, PartitionSpec, load_engine
from cellstrata.tasks.kernels.gpu import GpuStatus, gpu_status
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.guard import TOLERANCE, bad_partition, trivial_partitions
from cellstrata.tasks.kernels.partition import Guard, Partition, partition
from cellstrata.tasks.trees.placement import Choice, GpuUnavailable, Wish, choose, placement_of
from tests.tasks.gpu_stand_in import StandIn
from tests.tasks.small import as_graph, blobs, graph_of

NONE = GpuStatus("cupy is not installed")
ONE = GpuStatus("", "A100", 1, 2**35, "pylibcugraph", "pylibcugraph 26.10.0, cupy 14.1.1, float64", "cuvs-1", "cuml-1")
FEW, MANY, LIMIT = 812, 250_000, 100_000

TABLE: list[tuple[Wish, int, GpuStatus, str | None, Choice | None]] = [
    ("cpu", MANY, ONE, None, Choice("cellstrata", "the default")),
    ("cpu", MANY, ONE, "leidenalg", Choice("leidenalg", "asked for")),
    ("cpu", MANY, ONE, "rapids", Choice("cellstrata", "cellstrata instead of rapids: use_gpu is false")),
    ("auto", MANY, NONE, None, Choice("cellstrata", "no device: cupy is not installed")),
    ("auto", FEW, NONE, None, Choice("cellstrata", "no device: cupy is not installed")),
    ("auto", MANY, NONE, "libreville", Choice("libreville", "asked for")),
    ("auto", FEW, ONE, None, Choice("cellstrata", "812 cells < n_cell_cpu 100000")),
    ("auto", LIMIT - 1, ONE, None, Choice("cellstrata", "99999 cells < n_cell_cpu 100000")),
    ("auto", LIMIT, ONE, None, Choice("rapids", "100000 cells >= n_cell_cpu 100000, on A100")),
    ("auto", MANY, ONE, "igraph", Choice("igraph", "asked for")),
    ("auto", MANY, ONE, "rapids", Choice("rapids", "250000 cells >= n_cell_cpu 100000, on A100")),
    ("auto", FEW, ONE, "rapids", Choice("cellstrata", "812 cells < n_cell_cpu 100000")),
    ("required", MANY, NONE, None, None),
    ("required", FEW, NONE, "igraph", None),
    ("required", FEW, ONE, None, Choice("cellstrata", "812 cells < n_cell_cpu 100000")),
    ("required", MANY, ONE, None, Choice("rapids", "250000 cells >= n_cell_cpu 100000, on A100")),
    ("required", MANY, ONE, "leidenalg", Choice("leidenalg", "asked for")),
]


@pytest.mark.parametrize(("wish", "n", "status", "engine", "expected"), TABLE)
def test_choice(wish: Wish, n: int, status: GpuStatus, engine: str | None, expected: Choice | None) -> None:
    if expected is None:
        with pytest.raises(GpuUnavailable, match=r"required.*cupy is not installed"):
            choose(wish, n, LIMIT, status, engine)
        return
    assert choose(wish, n, LIMIT, status, engine) == expected
    assert expected.on_gpu == (expected.engine == "rapids")


def settings(**more: Any) -> ClusteringConfig:
    return ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [1.0], **more})


def test_placement_takes_the_gates_and_keys_of_a_dataset() -> None:
    asked = settings(use_gpu=True, n_cell_cpu=50, max_cluster_factor=7, gpu_check=0.25)
    placement = placement_of(asked, True, ONE)
    assert (placement.wish, placement.max_cluster_factor, placement.gpu_check) == ("auto", 7, 0.25)
    assert [placement.choose(n).engine for n in (49, 50)] == ["cellstrata", "rapids"]
    assert [placement.knn_method(n) for n in (49, 50)] == [None, "cuvs-1"]
    assert [placement.umap_method(n) for n in (49, 50)] == [None, "cuml-1"]
    assert placement_of(asked, False, ONE).choose(10**6).engine == "cellstrata"
    with pytest.raises(GpuUnavailable):
        placement_of(asked, "required", NONE)
    without_search = replace(ONE, knn="", umap="")
    assert placement_of(asked, True, without_search).knn_method(10**6) is None


def test_an_engine_that_is_not_installed_is_found_out_before_work_starts(monkeypatch: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cluster_libreville", None)
    monkeypatch.delitem(sys.modules, "cellstrata.tasks.kernels.engine_libreville", raising=False)
    with pytest.raises(EngineUnavailable, match=re.escape("cellstrata[fast]")):
        placement_of(settings(engine="libreville"), False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield lambda *packages: StandIn().install(monkeypatch, *packages)
    monkeypatch.undo()
    gpu_status.cache_clear()


def test_status_names_what_is_missing(machine: Any, monkeypatch: Any) -> None:
    machine()
    assert gpu_status() == GpuStatus("cupy is not installed") or "cupy cannot be imported" in gpu_status().reason
    machine("cupy")
    assert "pylibcugraph" in gpu_status().reason
    machine("cupy", "pylibcugraph")
    found = gpu_status()
    assert (found.available, found.device, found.devices, found.backend) == (True, "Stand-in", 1, "pylibcugraph")
    assert found.version == "pylibcugraph 26.10.0, cupy 14.1.1, float64"
    assert (found.knn, found.umap) == ("", "")
    machine("cupy", "pylibcugraph", "rapids_singlecell", "cuvs", "cuml")
    found = gpu_status()
    assert found.version == "rapids-singlecell 0.18.1, pylibcugraph 26.10.0, cupy 14.1.1, float64"
    assert (found.knn, found.umap) == ("cuvs-26.10.0-brute-force", "cuml-26.10.0-umap")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("pylibcugraph.__version__", "26.4.1"), "26.4.1 is too old: 26.8 or newer"),
        (("cupy.cuda.runtime.getDeviceCount", lambda: 0), "no CUDA device is visible"),
        (("cupy.cuda.runtime.getDeviceCount", lambda: 1 / 0), "CUDA cannot be used: ZeroDivisionError"),
    ],
)
def test_status_of_a_machine_that_lacks_something(machine: Any, monkeypatch: Any, change: Any, reason: str) -> None:
    import operator
    import sys

    machine("cupy", "pylibcugraph")
    module, _, path = change[0].partition(".")
    holder, _, name = path.rpartition(".")
    where = operator.attrgetter(holder)(sys.modules[module]) if holder else sys.modules[module]
    monkeypatch.setattr(where, name, change[1])
    assert reason in gpu_status().reason
    with pytest.raises(EngineUnavailable, match="needs a GPU"):
        load_engine("rapids")


CELLS, CLOUD = blobs([60, 50, 40])
GRAPH = graph_of(CELLS)
N = GRAPH.n_vertices


class Broken:
    """An engine that says it is a GPU's, and answers what a test wants."""

    name = "rapids"
    device = "gpu"
    algorithms: tuple[Algorithm, ...] = ("leiden",)
    packages: tuple[str, ...] = ()
    version = "broken 1"

    def __init__(self, answer: Any = None, preparing: Exception | None = None) -> None:
        self.answer, self.preparing = answer, preparing

    def prepare(self, graph: Graph, resolutions: Any = ()) -> Any:
        if self.preparing is not None:
            raise self.preparing
        return graph

    def partition(self, prepared: Any, spec: PartitionSpec) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class OutOfMemoryError(MemoryError):
    """Named and derived as cupy's own."""


TINY = np.arange(N) // 2  # pairs of cells
INJECTED: dict[str, tuple[Broken, float, str]] = {
    "every cell alone": (Broken(np.arange(N)), 1.0, "every cell is a cluster of its own (150 clusters)"),
    "far too many clusters": (Broken(TINY), 1.0, "75 clusters, more than 50 (max_cluster_factor 50 x 1.0)"),
    "labels missing": (Broken(np.where(np.arange(N) == 7, -1, CLOUD)), 1.0, "1 of 150 cells have none"),
    "too few labels": (Broken(CLOUD[:-3]), 1.0, "labels are missing: 147 for 150 cells"),
    "no integers": (Broken(CLOUD + 0.5), 1.0, "no integers but float64"),
    "worse than components": (Broken(np.arange(N) % 3), 0.1, "less than that of the connected components"),
    "an exception": (
        Broken(RuntimeError("CUGRAPH_UNKNOWN_ERROR\nin file x")),
        1.0,
        "RuntimeError: CUGRAPH_UNKNOWN_ERROR",
    ),
    "out of memory": (Broken(OutOfMemoryError("cudaErrorMemoryAllocation")), 1.0, "out of memory (OutOfMemoryError"),
    "no memory, by another name": (Broken(RuntimeError("std::bad_alloc: RMM")), 1.0, "out of memory (RuntimeError"),
    "out of memory while uploading": (Broken(CLOUD, OutOfMemoryError("no room")), 1.0, "out of memory"),
    "cannot be imported": (Broken(CLOUD, ImportError("libcugraph.so")), 1.0, "ImportError: libcugraph.so"),
    "no device after all": (Broken(CLOUD, EngineUnavailable("this process has no device: x")), 1.0, "no device: x"),
}


def run(engine: Any, spec: PartitionSpec, graph: Graph = GRAPH, required: bool = False) -> Partition:
    return partition(graph, spec, engine, guard=Guard(50, required))


def blocks(size: int) -> Graph:
    """Ten complete graphs."""
    one = [(i, j) for i in range(size) for j in range(i + 1, size)]
    return as_graph(10 * size, [(i + start, j + start) for start in range(0, 10 * size, size) for i, j in one])


@pytest.mark.parametrize("name", INJECTED)
def test_the_cpu_repeats_what_a_gpu_did_wrong(name: str, caplog: pytest.LogCaptureFixture) -> None:
    engine, resolution, reason = INJECTED[name]
    spec = PartitionSpec("leiden", resolution, n_iterations=3, seed=4)
    with caplog.at_level(logging.WARNING, "cellstrata.gpu"):
        found = run(engine, spec)
    plain = partition(GRAPH, spec, load_engine("cellstrata"))
    assert found.fallback is not None
    assert reason in found.fallback
    assert "\n" not in found.fallback
    assert found.fallback in caplog.text
    assert (found.engine, found.engine_version) == ("cellstrata", plain.engine_version)
    np.testing.assert_array_equal(found.labels, plain.labels)  # the same parameters
    assert asdict(replace(found, labels=0, fallback=None)) == asdict(replace(plain, labels=0))


def test_what_is_right_is_kept() -> None:
    one_cloud = graph_of(blobs([80])[0])
    right = [(GRAPH, CLOUD, 1.0), (GRAPH, CLOUD.astype(np.int64), 1.0), (GRAPH, CLOUD + 7, 1.0)]
    right.append((one_cloud, np.zeros(80, np.int32), 1e-9))  # as good as the components there
    for graph, labels, resolution in right:
        found = run(Broken(labels), PartitionSpec("leiden", resolution), graph)
        assert found.fallback is None
        assert (found.engine, found.engine_version) == ("rapids", "broken 1")
        assert found.sizes == sorted(found.sizes, reverse=True)


def test_many_clusters_are_no_fault_of_themselves() -> None:
    spec = PartitionSpec("leiden", 1.0)
    large, small = (np.repeat(np.arange(10), size).astype(np.int32) for size in (15, 5))
    assert bad_partition(blocks(15), large, [15] * 10, spec, 50) is None
    assert bad_partition(blocks(15), large, [15] * 10, spec, 5) is None  # the smallest has more than 10 cells
    assert "10 clusters, more than 5" in str(bad_partition(blocks(5), small, [5] * 10, spec, 5))
    assert bad_partition(blocks(5), small, [5] * 10, PartitionSpec("leiden", 2.0), 5) is None
    assert "more than 1 " in str(bad_partition(blocks(5), small, [5] * 10, spec, 0))  # at least one is allowed


def test_equality_with_a_trivial_partition_is_legitimate() -> None:
    (_, alone), (_, components) = trivial_partitions(GRAPH)
    spec = PartitionSpec("leiden", 0.01)
    sizes = np.sort(np.bincount(components))[::-1].tolist()
    assert bad_partition(GRAPH, components, sizes, spec, 500) is None
    heavy = PartitionSpec("leiden", 1000.0)  # so high that every cell alone is best
    assert GRAPH.modularity(alone, 1000.0) > GRAPH.modularity(components, 1000.0) + TOLERANCE
    assert "every cell alone" in str(bad_partition(GRAPH, components, sizes, heavy, 50))


def test_without_weights_edges_are_counted_alike() -> None:
    light = Graph(N, GRAPH.edges, np.where(np.arange(len(GRAPH.edges)) % 2, 1e-6, 1).astype(np.float32))
    engine = load_engine("cellstrata")
    found = partition(light, PartitionSpec("leiden", 1.0, use_weights=False), engine)
    spec = PartitionSpec("leiden", 1.0, use_weights=False)
    assert bad_partition(light, found.labels, found.sizes, spec, 500) is None


def test_what_the_cpu_does_is_not_watched() -> None:
    class Cpu(Broken):
        device = "cpu"

    found = run(Cpu(np.arange(N)), PartitionSpec("leiden", 1.0))
    assert len(found.sizes) == N
    assert found.fallback is None
    with pytest.raises(RuntimeError):
        run(Cpu(RuntimeError()), PartitionSpec("leiden", 1.0))


def test_required_is_not_answered_by_the_cpu_where_there_is_no_device() -> None:
    gone, spec = Broken(CLOUD, EngineUnavailable("this process has no device")), PartitionSpec("leiden", 1.0)
    with pytest.raises(EngineUnavailable, match="no device"):
        run(gone, spec, required=True)
    assert run(Broken(np.arange(N)), spec, required=True).fallback


def test_an_interrupt_is_no_fault() -> None:
    class Interrupted(Broken):
        def partition(self, prepared: Any, spec: PartitionSpec) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), PartitionSpec("leiden", 1.0))
