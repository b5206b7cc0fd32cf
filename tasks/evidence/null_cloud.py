"""A cloud without groups: a single Gaussian with the mean and the covariance of the cells."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats


def null_cloud(points: Floats, n_cells: int, seed: int) -> Floats:
    """Return (n_cells, d) float32, drawn from the Gaussian whose mean and covariance those of `points` (n, d) are.

    Sums run in a fixed order, not in that of a BLAS, so that every machine and number of threads draws the same.
    """
    middle = points.mean(0, dtype=np.float64)
    centred = points.astype(np.float64) - middle
    covariance = np.einsum("ni,nj->ij", centred, centred) / max(len(points) - 1, 1)
    drawn = np.random.RandomState(seed).standard_normal((n_cells, points.shape[1]))
    cloud: Floats = (middle + np.einsum("nj,ij->ni", drawn, _root(covariance))).astype(np.float32)
    return cloud


def _root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the lower triangle (d, d) whose product with its transpose is the covariance, which may be singular."""
    d = len(covariance)
    root, smallest = np.zeros((d, d)), 1e-12 * max(float(np.trace(covariance)), 0.0)
    for column in range(d):
        rest = covariance[column:, column] - (root[column:, :column] * root[column, :column]).sum(1)
        if rest[0] > smallest:  # else it adds nothing to the columns before
            root[column:, column] = rest / np.sqrt(rest[0])
    return root
