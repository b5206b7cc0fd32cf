"""The neighbours of all cells and of clusters, found as a run finds them: from lists of all cells, or by a search."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.knn import EXACT_UP_TO, Neighbors, nearest_neighbors
from cellstrata.tasks.kernels.neighbor_lists import LISTED, SERVED, from_lists
from cellstrata.tasks.trees.neighbor_lists import FROM_LISTS


class ClusterNeighbors:
    """The cells of an embedding, (n, d) float32, and the lists of their neighbours where a run keeps such."""

    def __init__(self, embedding: npt.NDArray[np.float32], n_neighbors: int) -> None:
        self.embedding, self.n_neighbors = embedding, n_neighbors
        self._listed = len(embedding) > EXACT_UP_TO and n_neighbors <= SERVED
        self._lists = nearest_neighbors(embedding, LISTED if self._listed else n_neighbors)

    def whole(self) -> Neighbors:
        """Return those of all cells."""
        return self._lists.nearest(self.n_neighbors)

    def of(self, rows: npt.NDArray[np.integer]) -> Neighbors:
        """Return those of some cells, ascending row numbers (n,), among themselves."""
        own, lists = np.ascontiguousarray(self.embedding[rows]), self._lists
        if self._listed and len(rows) >= FROM_LISTS:
            return from_lists(lists.indices, lists.distances, rows, own, self.n_neighbors)[0]
        return nearest_neighbors(own, self.n_neighbors)
