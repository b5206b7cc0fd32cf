"""The one caller of engines: trivial graphs, one run or many, numbering by size, and the CPU in a GPU's stead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.engines import (
    STAND_IN,
    Engine,
    EngineUnavailable,
    PartitionSpec,
    engine_version,
    load_engine,
)
from cellstrata.tasks.kernels.ensemble import JOINED_BY, consensus, first_runs, run_spec, runs_wanted
from cellstrata.tasks.kernels.gpu import first_line, free_memory, is_out_of_memory
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.guard import bad_labels, bad_partition
from cellstrata.tasks.kernels.stability import Stability, stability

log = logging.getLogger("cellstrata.gpu")


@dataclass(frozen=True)
class Guard:
    """How the work of a GPU is watched. `required` raises where there is no device after all; every other
    fault is answered by the CPU in any case."""

    max_cluster_factor: int
    required: bool = False


@dataclass(frozen=True)
class Joined:
    """What a partition of many runs knows of them: how many there were, their mean adjusted Rand index, the numbers of
    cores by round, and how far they have its clusters."""

    runs: int
    agreement: float
    cores: tuple[int, ...]
    stability: Stability


@dataclass(frozen=True)
class Partition:
    """A partition of a graph's vertices.

    `labels` is (n,) int32, cluster 0 the largest; `modularity` is at resolution 1, so that
    resolutions can be compared, `quality` at the resolution that was used. `note` says why an engine
    was not asked, else None. `engine` and `engine_version` are what made the labels; `fallback` says
    why the CPU did, where a GPU was asked, else None. `joined` is None for a single run.
    """

    labels: npt.NDArray[np.int32]
    sizes: list[int]
    modularity: float
    quality: float
    note: str | None = None
    engine: str = ""
    engine_version: str = ""
    fallback: str | None = None
    joined: Joined | None = None


def partition(
    graph: Graph,
    spec: PartitionSpec,
    engine: Engine,
    prepared: Callable[[], Any] | None = None,
    guard: Guard | None = None,
    run: Callable[[int], Partition] | None = None,
) -> Partition:
    """Partition a graph, by one run or by as many as `spec` asks for, and number its clusters by size.

    A graph with fewer than two vertices or without edges is one community, and says so. `prepared`
    returns `engine.prepare(graph)`, if the caller keeps it; `run` returns an ensemble's run, counted from 0,
    if the caller keeps those. Where `guard` is given and the engine runs
    on a GPU, its answer is checked, and whatever is wrong, an error too, has the CPU compute the
    partition with the same parameters.

    Raises
    ------
    EngineUnavailable
        If the guard says that a GPU is required, and this process has none.
    Exception
        What an engine raises that runs unguarded.
    """
    n = graph.n_vertices
    if n < 2 or not len(graph.edges):
        labels, note = np.zeros(n, np.int32), "the graph has no edges" if n > 1 else None
        return Partition(labels, [n] if n else [], 0.0, 0.0, note, engine.name, engine_version(engine))
    make = prepared or _once(lambda: engine.prepare(graph))
    if spec.joins_runs:
        own = run or (lambda number: partition(graph, run_spec(spec, number), engine, make, guard))
        return _joined(graph, spec, engine, own, make if engine.name == JOINED_BY else None)
    if guard is None or engine.device == "cpu":
        return _numbered(graph, spec, engine, engine.partition(make(), spec))
    found, fault = _watched(graph, spec, engine, make, guard)
    if found is not None:
        return found
    log.warning("%s: the CPU repeats a split of %d cells, since %s", engine.name, n, fault)
    return replace(partition(graph, spec, load_engine(STAND_IN)), fallback=fault)


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return what makes a thing when it is first asked for."""
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return get


def _joined(
    graph: Graph,
    spec: PartitionSpec,
    engine: Engine,
    run: Callable[[int], Partition],
    prepared: Callable[[], Any] | None,
) -> Partition:
    made = [run(number) for number in range(first_runs(spec))]
    wanted = runs_wanted(spec, [one.labels for one in made])
    made += [run(number) for number in range(len(made), wanted)]
    runs = [one.labels for one in made]
    found = consensus(graph, spec, runs, prepared)
    numbered = _numbered(graph, spec, engine, found.labels)
    return replace(
        numbered,
        engine=made[0].engine,  # another one, where the CPU stood in
        engine_version=made[0].engine_version,
        fallback=next((one.fallback for one in made if one.fallback), None),
        joined=Joined(len(runs), found.agreement, found.cores, stability(numbered.labels, runs)),
    )


def _watched(
    graph: Graph, spec: PartitionSpec, engine: Engine, make: Callable[[], Any], guard: Guard
) -> tuple[Partition | None, str]:
    """Return the engine's partition, or None and what is wrong with it."""
    try:
        raw = engine.partition(make(), spec)
        if fault := bad_labels(raw, graph.n_vertices):
            return None, fault
        found = _numbered(graph, spec, engine, raw)
    except EngineUnavailable as error:
        if guard.required:
            raise
        return None, str(error)
    except Exception as error:
        if is_out_of_memory(error):
            free_memory()
            return None, f"the GPU is out of memory ({first_line(error)})"
        return None, f"the GPU failed ({first_line(error)})"
    bad = bad_partition(graph, found.labels, found.sizes, spec, guard.max_cluster_factor)
    return (None, bad) if bad else (found, "")


def _numbered(graph: Graph, spec: PartitionSpec, engine: Engine, raw: npt.NDArray[np.integer]) -> Partition:
    labels, sizes = number_by_size(raw)
    modularity, quality = graph.modularities(labels, [1.0, spec.resolution])
    return Partition(labels, sizes, modularity, quality, None, engine.name, engine_version(engine))


def number_by_size(labels: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Renumber clusters 0, 1, … by falling size, ties by their first cell.

    Takes (n,) integers of any numbering, gaps allowed; returns (n,) int32 and the sizes.
    """
    n = len(labels)
    if n and not (labels.min() >= 0 and labels.max() < n):
        labels = np.unique(labels, return_inverse=True)[1].reshape(-1)
    labels = labels.astype(np.int64, copy=False)
    counts, first = np.bincount(labels), np.full(int(labels.max()) + 1 if n else 0, n)
    np.minimum.at(first, labels, np.arange(n))
    order = np.lexsort((first, -counts))[: np.count_nonzero(counts)]
    number = np.empty(len(counts), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return number[labels], counts[order].tolist()
