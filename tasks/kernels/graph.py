"""The graph of cells: undirected, weighted, kept as its upper triangle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import scipy.sparse


ROWS = 1 << 16  # at a time, where edges are joined


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
        return self.modularities(labels, [resolution])[0]

    def modularities(self, labels: npt.NDArray[np.int32], resolutions: Sequence[float]) -> tuple[float, ...]:
        """Return the modularity of a partition at each of several resolutions."""
        weights = self.weights.astype(np.float64)
        total = weights.sum()
        if not total:
            return (0.0,) * len(resolutions)
        a, b = labels[self.edges[:, 0]], labels[self.edges[:, 1]]
        within = weights[a == b].sum()
        size = int(np.max(labels)) + 1
        strength = np.bincount(a, weights, size) + np.bincount(b, weights, size)
        expected = np.square(strength / (2 * total)).sum()
        return tuple(float(within / total - resolution * expected) for resolution in resolutions)


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
    n_vertices: int, starts: npt.NDArray[np.integer], targets: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]
) -> Graph:
    """Join directed memberships by the fuzzy union a + b - ab, b being 0 where there is one direction.

    Row i has the `targets` (m,) and `weights` (m,) float32 from `starts[i]` to `starts[i + 1]`, (n_vertices + 1,): each
    target once, none the row itself. Edges with weight 0 are left out. Nothing is sorted as a whole, temporaries
    are of blocks of rows: the memory is that of the directed edges and the graph.
    """
    with IMPORTING:
        import scipy.sparse as sp

    shape = (n_vertices, n_vertices)
    directed = sp.csr_matrix((weights, targets, starts), shape=shape)
    backward = _half(directed, 0, n_vertices, upper=False).tocsc()  # by the lower vertex, the higher ones ascending
    backward = sp.csr_matrix((backward.data, backward.indices, backward.indptr), shape=shape)
    edges, joined = [], []
    for start in range(0, n_vertices, ROWS):
        end = min(start + ROWS, n_vertices)
        forward = _half(directed, start, end, upper=True)
        forward.sort_indices()
        # The one direction is the real part, the other the imaginary one: they are added without being mixed.
        both = forward.astype(np.complex64) + backward[start:end].astype(np.complex64) * np.complex64(1j)
        one, other = both.data.real, both.data.imag
        joined.append(one + (other - one * other))
        low = np.repeat(np.arange(start, end, dtype=np.int32), np.diff(both.indptr))
        edges.append(np.column_stack([low, both.indices]).astype(np.int32, copy=False))
    if not edges:
        return Graph(n_vertices, np.empty((0, 2), np.int32), np.empty(0, np.float32))
    return Graph(n_vertices, np.concatenate(edges), np.concatenate(joined))


def _half(directed: scipy.sparse.csr_matrix, start: int, end: int, *, upper: bool) -> scipy.sparse.csr_matrix:
    """Return those of some rows' edges that lead to a higher vertex, or to a lower one, without those of weight 0."""
    with IMPORTING:
        import scipy.sparse as sp

    bounds = directed.indptr[start : end + 1]
    part = slice(bounds[0], bounds[-1])
    row = np.repeat(np.arange(start, end, dtype=np.int32), np.diff(bounds))
    targets, weights = directed.indices[part], directed.data[part]
    kept = (targets > row) if upper else (targets < row)
    kept &= weights > 0
    before = np.concatenate([[0], np.cumsum(kept)])  # how many edges are kept before each
    indptr = before[bounds - bounds[0]]
    return sp.csr_matrix((weights[kept], targets[kept], indptr), shape=(end - start, directed.shape[1]))
