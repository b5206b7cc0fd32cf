"""Graphs with known clusters, of any size: each vertex draws its edges mostly within its own block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.graph import Graph


def planted_graph(
    n_vertices: int, blocks: int, degree: int = 15, inside: float = 0.9, seed: int = 0
) -> tuple[Graph, npt.NDArray[np.int64]]:
    """Return a graph and the block of each vertex, (n,) int64.

    Each vertex draws `degree` edges, a share `inside` of them within its block; weights are in (0, 1].
    """
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.arange(n_vertices) % blocks)
    order, starts = np.argsort(of, kind="stable"), np.zeros(blocks + 1, np.int64)
    starts[1:] = np.cumsum(np.bincount(of, minlength=blocks))
    source = np.repeat(np.arange(n_vertices), degree)
    within = rng.random(len(source)) < inside
    block = of[source]
    near = order[starts[block] + (rng.random(len(source)) * (starts[block + 1] - starts[block])).astype(np.int64)]
    target = np.where(within, near, rng.integers(0, n_vertices, len(source)))
    low, high = np.minimum(source, target), np.maximum(source, target)
    key = np.unique((low * n_vertices + high)[low != high])
    edges = np.column_stack([key // n_vertices, key % n_vertices]).astype(np.int32)
    return Graph(n_vertices, edges, (1 - rng.random(len(edges))).astype(np.float32)), of
