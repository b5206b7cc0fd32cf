"""The one caller of engines: trivial graphs, numbering by size, modularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.engines import Engine, PartitionSpec
from tasks.graph import Graph


@dataclass(frozen=True)
class Partition:
    """A partition of a graph's vertices.

    `labels` is (n,) int32, cluster 0 the largest; `modularity` is at resolution 1, so that
    resolutions can be compared, `quality` at the resolution that was used. `note` says why an engine
    was not asked, else None.
    """

    labels: npt.NDArray[np.int32]
    sizes: list[int]
    modularity: float
    quality: float
    note: str | None = None


def partition(graph: Graph, spec: PartitionSpec, engine: Engine, prepared: Any = None) -> Partition:
    """Partition a graph and number its clusters by size.

    A graph with fewer than two vertices or without edges is one community, and says so.
    `prepared` is `engine.prepare(graph)`, if the caller has it at hand.
    """
    n = graph.n_vertices
    if n < 2 or not len(graph.edges):
        labels = np.zeros(n, np.int32)
        return Partition(labels, [n] if n else [], 0.0, 0.0, "the graph has no edges" if n > 1 else None)
    if prepared is None:
        prepared = engine.prepare(graph)
    labels, sizes = number_by_size(engine.partition(prepared, spec))
    return Partition(labels, sizes, graph.modularity(labels), graph.modularity(labels, spec.resolution))


def number_by_size(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Renumber clusters 0, 1, … by falling size, ties by their first cell.

    Takes (n,) integers of any numbering, gaps allowed; returns (n,) int32 and the sizes.
    """
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    return number[inverse.reshape(-1)], counts[order].tolist()
