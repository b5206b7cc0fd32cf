"""Clouds without groups: a single Gaussian with the mean and the covariance of the cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats


def null_clouds(points: Floats, n_cells: int, seeds: Sequence[int]) -> Iterator[Floats]:
    """Yield for each seed (n_cells, d) float32, of the Gaussian with the mean and covariance of `points` (n, d).

    Sums run in a fixed order, not in that of a BLAS, so that every machine and number of threads draws the same.
    """
    if not seeds:
        return
    middle = points.mean(0, dtype=np.float64)
    centred = points.astype(np.float64) - middle
    root = _root(np.einsum("ni,nj->ij", centred, centred) / max(len(points) - 1, 1))
    for seed in seeds:
        drawn = np.random.RandomState(seed).standard_normal((n_cells, points.shape[1]))
        yield (middle + np.einsum("nj,ij->ni", drawn, root)).astype(np.float32)


def _root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the lower triangle (d, d) whose product with its transpose is the covariance, which may be singular."""
    d = len(covariance)
    root, smallest = np.zeros((d, d)), 1e-12 * max(float(np.trace(covariance)), 0.0)
    for column in range(d):
        rest = covariance[column:, column] - (root[column:, :column] * root[column, :column]).sum(1)
        if rest[0] > smallest:  # else it adds nothing to the columns before
            root[column:, column] = rest / np.sqrt(rest[0])
    return root
