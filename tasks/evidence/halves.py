"""Replicability: whether two halves of the cells, clustered apart, are grouped in the same way.

Each half is clustered on its own. The labels of one are carried to the cells of the other by their nearest neighbors
there, and compared with the other's own by the adjusted Rand index, in both directions. Prediction strength
(R. Tibshirani and G. Walther, Journal of Computational and Graphical Statistics 14, 2005) asks the same of k-means;
the index here is corrected for chance, so that the number of groups does not decide it. Two halves that are one group
each agree on nothing: they count as 0, not as 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats, faiss
from cellstrata.tasks.kernels.knn import Metric, normalised
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

MOST_CELLS = 10_000  # of both halves together; of more cells a sample is taken

Labels = npt.NDArray[np.int32]
Clustering = Callable[[Floats, int], Labels]


def replicability(points: Floats, cluster: Clustering, n_voters: int, metric: Metric, seed: int) -> float:
    """Return how far two random halves of cells agree, from about 0 (as chance) to 1; as the first of `halving`."""
    return halving(points, cluster, n_voters, metric, seed, np.zeros(len(points), np.int32))[0]


def halving(
    points: Floats, cluster: Clustering, n_voters: int, metric: Metric, seed: int, labels: Labels
) -> tuple[float, float]:
    """Return how far two random halves of cells agree, and how far they have the clusters of all cells.

    Both are adjusted Rand indices, from about 0 (as chance) to 1. Halves that agree may both have fewer clusters than
    all cells: the second tells.

    Parameters
    ----------
    points
        (n, d) float32, finite: the cells' rows of their embedding.
    cluster
        Returns the (m,) labels, from 0, of rows and a seed.
    n_voters
        How many nearest neighbors in the other half decide a cell's label there, by majority.
    metric
        The distance by which they are near.
    seed
        Of the halves and of their clusterings.
    labels
        (n,) int32 from 0: the clusters of all cells.
    """
    size = min(len(points), MOST_CELLS) // 2
    order = np.random.RandomState(seed).permutation(len(points))  # a stream that NumPy keeps as it is
    one, other = np.sort(order[:size]), np.sort(order[size : 2 * size])
    of_one, of_other = cluster(points[one], seed), cluster(points[other], seed)
    if not size:
        return 0.0, 0.0
    recovered = (adjusted_rand_index(of_one, labels[one]) + adjusted_rand_index(of_other, labels[other])) / 2
    if not of_one.max() or not of_other.max():
        return 0.0, recovered
    forth = _carried(points[one], of_one, points[other], n_voters, metric)
    back = _carried(points[other], of_other, points[one], n_voters, metric)
    return (adjusted_rand_index(forth, of_other) + adjusted_rand_index(back, of_one)) / 2, recovered


def _carried(there: Floats, labels: Labels, here: Floats, n_voters: int, metric: Metric) -> Labels:
    """Return the labels that most of a cell's nearest neighbors in the other half have, the lowest of equals."""
    middle = there.mean(0, dtype=np.float64)
    if metric == "cosine":
        there, here = normalised(there), normalised(here)
    else:  # faiss compares in float32: far from the origin it would see less
        there, here = (there - middle).astype(np.float32), (here - middle).astype(np.float32)
    module = faiss()
    module.omp_set_num_threads(1)
    index = module.IndexFlatL2(there.shape[1])
    index.add(np.ascontiguousarray(there))
    _, nearest = index.search(np.ascontiguousarray(here), min(n_voters, len(there)))
    n_groups = int(labels.max()) + 1
    cells = np.arange(len(here)).repeat(nearest.shape[1])
    votes = np.bincount(cells * n_groups + labels[nearest].ravel(), minlength=len(here) * n_groups)
    elected: Labels = votes.reshape(len(here), n_groups).argmax(1).astype(np.int32)
    return elected
