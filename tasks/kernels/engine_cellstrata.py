"""Our own Leiden and Louvain: a third to a fifth of igraph's time, and more modularity. The default.

Its labels depend on no package's version, and threads of one process compute side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.engines import Algorithm, PartitionSpec
from cellstrata.tasks.kernels.graph import Graph

if TYPE_CHECKING:
    from cellstrata.tasks.kernels.adjacency import Adjacency

SCHEME = 1  # raise it when the same graph, parameters and seed give other labels

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Ordered:
    """A graph in an order of our own: the i-th vertex of its adjacency is `order[i]`, (n,) int32."""

    order: npt.NDArray[np.int32]
    adjacency: Adjacency

    def partition(
        self, resolution: float, seed: int, n_iterations: int, start: Labels | None = None, *, refining: bool = True
    ) -> Labels:
        """Return a partition of the graph, (n,) int32 in any numbering, from each vertex alone or from a `start`."""
        with IMPORTING:
            from cellstrata.tasks.kernels.leiden import leiden, number

        n = len(self.order)
        member = np.arange(n, dtype=np.int32)
        if start is not None:  # numbered by first vertex: the names of clusters decide nothing
            member = np.ascontiguousarray(start[self.order], np.int32)
            number(member)
        found = np.empty(n, np.int32)
        found[self.order] = leiden(self.adjacency, resolution, member, seed, n_iterations, refining=refining)
        return found

    def common_parts(self, runs: Sequence[Labels]) -> tuple[int, Labels]:
        """Return how many parts hang together within the clusters of all partitions, each (n,), and them.

        They are (n,) int32, numbered by their first vertex from 0.
        """
        with IMPORTING:
            from cellstrata.tasks.kernels.leiden import common_parts, number

        members = np.empty((len(self.order), len(runs)), np.int32)
        for at, labels in enumerate(runs):
            members[:, at] = labels[self.order]
        count, parts = common_parts(self.adjacency, members)
        found = np.empty_like(parts)
        found[self.order] = parts
        number(found)
        return count, found

    def unweighted(self) -> Ordered:
        """Return it with all weights 1."""
        with IMPORTING:
            from cellstrata.tasks.kernels.adjacency import adjacency

        starts, targets, weights, _ = self.adjacency
        return Ordered(self.order, adjacency(starts, targets, np.ones_like(weights)))


def ordered(
    n_vertices: int,
    edges: npt.NDArray[Any],
    weights: npt.NDArray[np.floating],
    strengths: npt.NDArray[np.float64] | None = None,
) -> Ordered:
    """Return the graph of edges, (m, 2), each once, with weights (m,), breadth first.

    `strengths` (n_vertices,) are those of vertices that are groups, which have weight within themselves; else each
    vertex has the sum of its edges.
    """
    with IMPORTING:
        from cellstrata.tasks.kernels.adjacency import both_ways, breadth_first, in_order

    graph = both_ways(n_vertices, edges, weights)
    if strengths is not None:
        graph = graph._replace(strengths=np.ascontiguousarray(strengths, np.float64))
    order = breadth_first(graph)
    return Ordered(order, in_order(graph, order))


class CellstrataEngine:
    """Leiden and Louvain of `cellstrata.tasks.kernels.leiden` (modularity), on one thread."""

    name = "cellstrata"
    device: Literal["cpu", "gpu"] = "cpu"
    algorithms: tuple[Algorithm, ...] = ("leiden", "louvain")
    packages = ()
    version = f"cellstrata {SCHEME}"

    def prepare(self, graph: Graph, resolutions: Sequence[float] = ()) -> Ordered:
        """Return the adjacency in an order of our own."""
        return ordered(graph.n_vertices, graph.edges, graph.weights)

    def partition(self, prepared: Ordered, spec: PartitionSpec) -> npt.NDArray[np.integer]:
        """Return its labels, (n,) int32."""
        graph = prepared if spec.use_weights else prepared.unweighted()
        if spec.algorithm == "louvain":
            return graph.partition(spec.resolution, spec.seed, -1, refining=False)
        return graph.partition(spec.resolution, spec.seed, spec.n_iterations)
