"""How far single runs find the clusters of a partition again: by cluster, and by cell.

C. Hennig, "Cluster-wise assessment of cluster stability", Computational Statistics & Data Analysis 52 (2007): the mean
over runs of the best Jaccard index of a cluster with any cluster of the run. 1 is a cluster that every run has just so;
below 0.5 it counts as dissolved, above 0.75 as found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LOW = 0.5  # below it a cluster counts as dissolved (Hennig 2007)
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Stability:
    """`clusters` has a value for each cluster, by its number; `cells` (n,) float32 for each cell the mean Jaccard index
    of its cluster with its clusters in the runs. Both are from 0 to 1."""

    clusters: tuple[float, ...]
    cells: npt.NDArray[np.float32]


def stability(labels: Labels, runs: Sequence[Labels]) -> Stability:
    """Compare a partition, (n,) int32 from 0 without gaps, with runs, each (n,) int32 from 0, over the same cells."""
    sizes = np.bincount(labels)
    best = np.zeros(len(sizes))
    cells = np.zeros(len(labels))
    for run in runs:
        others = np.bincount(run)
        pairs, inverse, both = np.unique(
            labels.astype(np.int64) * len(others) + run, return_inverse=True, return_counts=True
        )
        own, other = pairs // len(others), pairs % len(others)
        jaccard = both / (sizes[own] + others[other] - both)
        of_run = np.zeros(len(sizes))
        np.maximum.at(of_run, own, jaccard)
        best += of_run
        cells += jaccard[inverse.reshape(-1)]
    return Stability(tuple((best / len(runs)).tolist()), (cells / len(runs)).astype(np.float32))
