"""Neighbours of some cells from longer lists of all cells' neighbours; searched for only where too few are left.

A cell's nearest neighbours among some cells are the first of its list that belong to these: whoever is nearer than the
last of the list is in it. So what is filtered is as good as the lists are, for a small part of a search's time. Cells
at the rim of a cluster keep few of their list; those that keep fewer than are wanted are searched for among these
cells, as `kernels.knn` does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats
from cellstrata.tasks.kernels.knn import Metric, Neighbors, effective_neighbors, nearest_neighbors

LISTED = 40  # neighbours of each cell
SERVED = LISTED // 2  # are wanted at most: of twice as many most cells keep enough
AT_ONCE = 1 << 15  # rows, to bound the memory of temporaries
SCHEME = 1  # raise it when the same lists give other neighbours

Int32s = npt.NDArray[np.int32]


def from_lists(
    indices: Int32s,
    distances: Floats,
    rows: npt.NDArray[np.integer],
    embedding: Floats,
    n_neighbors: int,
    metric: Metric = "euclidean",
) -> tuple[Neighbors, int]:
    """Find the nearest neighbours of some cells among themselves; returns them and how many cells were searched for.

    Parameters
    ----------
    indices, distances
        (n_all, listed) int32 and float32: the lists of all cells as `nearest_neighbors` returns them, the cell itself
        first. They may be memory-mapped: only these cells' rows are read.
    rows
        (n,) ascending numbers of these cells among all.
    embedding
        (n, d) float32, finite: their rows.
    n_neighbors
        As `nearest_neighbors` takes it; at most `listed`.
    """
    n = len(rows)
    k = effective_neighbors(n_neighbors, n)
    found, gaps = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    short = np.zeros(n, bool)
    place = _places(rows, len(indices), n * indices.shape[1])
    for start in range(0, n, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        own = place(indices[rows[part]])
        inside = own >= 0
        among = np.cumsum(inside, axis=1, dtype=np.int16)
        few = among[:, -1] < k
        taken = inside & (among <= k)
        taken[few] = False
        found[part][~few] = own[taken].reshape(-1, k)
        gaps[part][~few] = distances[rows[part]][taken].reshape(-1, k)
        short[part] = few
    searched = np.flatnonzero(short)
    if len(searched):
        others = nearest_neighbors(embedding, n_neighbors, metric, of=searched)
        found[searched], gaps[searched] = others.indices, others.distances
    return Neighbors(found, gaps, ""), len(searched)


def _places(rows: npt.NDArray[np.integer], n_all: int, lookups: int) -> Callable[[Int32s], Int32s]:
    """Return what tells the places of cells among `rows`, -1 for others: by a table of all cells where that pays."""
    n = len(rows)
    if lookups * 8 > n_all:
        table = np.full(n_all, -1, np.int32)
        table[rows] = np.arange(n, dtype=np.int32)
        return lambda cells: table[cells]

    def place(cells: Int32s) -> Int32s:
        at = np.minimum(np.searchsorted(rows, cells), n - 1).astype(np.int32)
        return np.where(rows[at] == cells, at, np.int32(-1))

    return place
