"""From neighbours to connectivities: UMAP's fuzzy simplicial set, vectorised in NumPy.

McInnes, Healy and Melville, arXiv:1802.03426, section 3.1; umap-learn's constants and conventions
(local connectivity 1, bandwidth 1, set operation mix 1), as scanpy's `pp.neighbors` uses them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.graph import Graph, from_directed
from cellstrata.tasks.kernels.knn import Neighbors

TOLERANCE = 1e-5
MIN_SCALE = 1e-3
ITERATIONS = 64
BLOCK = 16_384  # rows at a time, to bound the memory of temporaries


def connectivities(neighbors: Neighbors, threads: int = 1) -> Graph:
    """Return the symmetric connectivities of a kNN graph, weights in (0, 1].

    `threads` share the rows; they do not change the result.
    """
    n, k = neighbors.indices.shape
    if k < 2:
        return Graph(n, np.empty((0, 2), np.int32), np.empty(0, np.float32))
    mean = float(neighbors.distances.mean(dtype=np.float64))
    blocks = [neighbors.distances[start : start + BLOCK] for start in range(0, n, BLOCK)]
    with ThreadPoolExecutor(threads) as pool:
        weights = np.concatenate(list(pool.map(lambda block: _memberships(block, mean), blocks))).ravel()
    starts = np.arange(0, n * (k - 1) + 1, k - 1)
    return from_directed(n, starts, neighbors.indices[:, 1:].ravel(), weights)


def _memberships(distances: npt.NDArray[np.float32], mean: float) -> npt.NDArray[np.float32]:
    """Return the (m, k-1) memberships of the neighbours beyond the cell itself."""
    k = distances.shape[1]
    d = distances.astype(np.float64)
    positive = np.where(d > 0, d, np.inf)
    rho = positive.min(1)
    rho[~np.isfinite(rho)] = 0
    beyond = np.maximum(d[:, 1:] - rho[:, None], 0)
    sigma = _bandwidths(beyond, np.log2(k))
    floor = MIN_SCALE * np.where(rho > 0, d.mean(1), mean)
    sigma = np.maximum(sigma, floor)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.exp(-beyond / sigma[:, None])
    values[beyond == 0] = 1
    memberships: npt.NDArray[np.float32] = values.astype(np.float32)
    return memberships


def _bandwidths(beyond: npt.NDArray[np.float64], target: float) -> npt.NDArray[np.float64]:
    """Find by bisection the sigma at which the memberships of each row sum to `target`."""
    m = len(beyond)
    low, high, middle = np.zeros(m), np.full(m, np.inf), np.ones(m)
    active = np.arange(m)
    for _ in range(ITERATIONS):
        total = np.exp(-beyond[active] / middle[active, None]).sum(1)
        off = np.abs(total - target) >= TOLERANCE
        active, total = active[off], total[off]
        if not len(active):
            break
        above = total > target
        high[active[above]] = middle[active[above]]
        low[active[~above]] = middle[active[~above]]
        halved = (low[active] + high[active]) / 2
        middle[active] = np.where(np.isinf(high[active]), middle[active] * 2, halved)
    return middle
