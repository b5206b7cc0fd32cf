"""The graph of cells: undirected, weighted, kept as its upper triangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import scipy.sparse


class GraphError(ValueError):
    """A stored graph cannot be clustered; the message says why."""


@dataclass(frozen=True)
class Graph:
    """An undirected graph without self-loops.

    `edges` is (m, 2) int32, each edge once with the lower vertex first, sorted; `weights` is (m,)
    float32, positive.
    """

    n_vertices: int
    edges: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    def to_csr(self) -> scipy.sparse.csr_matrix:
        """Return the symmetric adjacency, (n, n) float32 CSR with sorted indices."""
        with IMPORTING:
            import scipy.sparse as sp

        n = self.n_vertices
        upper = sp.coo_matrix((self.weights, (self.edges[:, 0], self.edges[:, 1])), shape=(n, n)).tocsr()
        both = (upper + upper.T).tocsr()
        both.sort_indices()
        return both

    def modularity(self, labels: npt.NDArray[np.int32], resolution: float = 1.0) -> float:
        """Return the modularity of a partition, in float64.

        Q = sum_in / m - resolution * sum_c (K_c / 2m)^2, with m the total weight, sum_in the weight
        within clusters and K_c the summed strength of cluster c (Newman 2004; Reichardt and
        Bornholdt 2006 for the resolution). 0 for a graph without edges.
        """
        weights = self.weights.astype(np.float64)
        total = weights.sum()
        if not total:
            return 0.0
        a, b = labels[self.edges[:, 0]], labels[self.edges[:, 1]]
        within = weights[a == b].sum()
        size = int(np.max(labels)) + 1
        strength = np.bincount(a, weights, size) + np.bincount(b, weights, size)
        return float(within / total - resolution * np.square(strength / (2 * total)).sum())


def from_adjacency(matrix: Any) -> tuple[Graph, str | None]:
    """Read a stored adjacency (n, n; sparse, any index type) as a graph.

    Explicit zeros and the diagonal are dropped; duplicates are summed. An asymmetric matrix is made
    symmetric by the larger of the two weights, and the second value returned says so. Weights that float32
    cannot hold are divided by the largest: partitions do not depend on their scale.

    Raises
    ------
    GraphError
        If it is not square, or has negative, NaN or infinite weights.
    """
    with IMPORTING:
        import scipy.sparse as sp

    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise GraphError(f"the matrix is {'×'.join(map(str, matrix.shape))}, not square")
    matrix = sp.coo_matrix(matrix)
    n = matrix.shape[0]
    row, column = matrix.row.astype(np.int64), matrix.col.astype(np.int64)
    if not np.isfinite(matrix.data).all():
        raise GraphError("the weights contain NaN or infinity")
    if (matrix.data < 0).any():
        raise GraphError("the weights contain negative values")
    weights = _in_float32(matrix.data)
    kept = (row != column) & (weights > 0)
    row, column, weights = row[kept], column[kept], weights[kept]
    csr = sp.csr_matrix((weights, (row, column)), shape=(n, n))
    csr.sum_duplicates()
    difference = abs(csr - csr.T)
    scale = float(weights.max()) if len(weights) else 1.0
    notice = None
    if difference.nnz and difference.max() > 1e-6 * scale:
        csr = csr.maximum(csr.T).tocsr()
        notice = "the stored connectivities are not symmetric: the larger weight of each pair is used"
    upper = sp.triu(csr, k=1, format="csr")
    upper.sort_indices()
    upper = upper.tocoo()
    edges = np.column_stack([upper.row, upper.col]).astype(np.int32)
    return Graph(n, edges, upper.data.astype(np.float32)), notice


def _in_float32(weights: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return weights as float32, divided by the largest of them where some would vanish or overflow."""
    positive = weights[weights > 0]
    limits = np.finfo(np.float32)
    if not len(positive) or (positive.min() >= limits.tiny and positive.max() <= limits.max / len(weights)):
        return weights.astype(np.float32)
    return (weights.astype(np.float64) / float(positive.max())).astype(np.float32)


def from_directed(
    n_vertices: int, source: npt.NDArray[Any], target: npt.NDArray[Any], weights: npt.NDArray[np.float32]
) -> Graph:
    """Join directed memberships by the fuzzy union a + b - ab, b being 0 where there is one direction."""
    low, high = np.minimum(source, target).astype(np.int64), np.maximum(source, target).astype(np.int64)
    key = low * n_vertices + high
    order = np.argsort(key, kind="stable")
    key, weights = key[order], weights[order]
    first = np.r_[True, key[1:] != key[:-1]] if len(key) else np.zeros(0, bool)
    starts = np.flatnonzero(first)
    joined = weights[starts]
    second = starts + 1
    paired = second < len(key)
    paired[paired] = ~first[second[paired]]
    other = weights[second[paired]]
    joined[paired] += other - joined[paired] * other
    key = key[starts]
    edges = np.column_stack([key // n_vertices, key % n_vertices]).astype(np.int32)
    return Graph(n_vertices, edges, joined)
