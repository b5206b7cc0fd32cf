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
STEPS, FLAT = 25, 1e-3  # of Newton's method; how little the sum may change with the logarithm of sigma
BLOCK = 16_384  # rows at a time, to bound the memory of temporaries

Float64s = npt.NDArray[np.float64]


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


def _bandwidths(beyond: Float64s, target: float) -> Float64s:
    """Find by bisection the sigma at which the memberships of each row sum to `target`.

    What is found is what umap-learn's bisection finds, which ends at the first sum that is near enough. Which way it
    goes is known once the root is: sums are taken near the root alone, and in rows whose root is not to be trusted.
    """
    m = len(beyond)
    root, slope = _roots(beyond, target)
    low, high, middle = np.zeros(m), np.full(m, np.inf), np.ones(m)
    active = np.arange(m)
    for _ in range(ITERATIONS):
        at = middle[active]
        above = at > root[active]
        near = np.flatnonzero(~(np.abs(at - root[active]) * slope[active] > 2 * TOLERANCE))  # NaN is near, too
        total = np.exp(-beyond[active[near]] / at[near, None]).sum(1)
        above[near] = total > target
        off = np.ones(len(active), bool)
        off[near] = np.abs(total - target) >= TOLERANCE
        active, above = active[off], above[off]
        if not len(active):
            break
        high[active[above]] = middle[active[above]]
        low[active[~above]] = middle[active[~above]]
        halved = (low[active] + high[active]) / 2
        middle[active] = np.where(np.isinf(high[active]), middle[active] * 2, halved)
    return middle


def _roots(beyond: Float64s, target: float) -> tuple[Float64s, Float64s]:
    """Return the sigma at which the memberships of each row sum to `target`, and the slope of the sum there, (m,) both.

    NaN where there is none, or where the sum is so flat that its slope tells little. By Newton's method: the logarithm
    of the sum is convex in 1 / sigma, so from 0 the steps never go beyond the root.
    """
    m, k = beyond.shape
    inverse, slope = np.full(m, np.nan), np.full(m, np.nan)
    active = np.flatnonzero((beyond == 0).sum(1) < target - FLAT) if k > target + FLAT else np.empty(0, np.int64)
    inverse[active] = 0.0
    rows = beyond[active]
    for _ in range(STEPS):
        if not len(active):
            break
        values = np.exp(-rows * inverse[active, None])
        total, falling = values.sum(1), np.einsum("ij,ij->i", values, rows)
        step = np.log(total / target) * total / falling
        inverse[active] += step
        slope[active] = falling * inverse[active] ** 2  # by sigma, not by its inverse
        going = np.abs(step) > 1e-5 * inverse[active]  # what is left is about the square of that
        active, rows = active[going], rows[going]
    inverse[active] = np.nan  # not found
    with np.errstate(divide="ignore", invalid="ignore"):
        root = 1 / inverse
        root[~(slope * root > FLAT)] = np.nan
    return root, slope
