"""The lists of all cells' neighbours in the cache, from which the neighbours of large clusters are taken.

Beyond the size up to which every search is exact, level 1 is searched for more neighbours than its graph needs. What is
taken from these lists is a function of the lists and the cells alone, so the key of such a graph names both. It
depends on no order and no runner, and not on the path of the cluster. Where all searches are exact there are no
lists, and graphs have the keys of their own cells alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry, Record
from cellstrata.tasks.kernels.faiss_search import Floats
from cellstrata.tasks.kernels.knn import EXACT_UP_TO, METRICS, Neighbors, method_for
from cellstrata.tasks.kernels.neighbor_lists import from_lists, list_length
from cellstrata.tasks.trees.keys import lists_key

FROM_LISTS = 1_000  # cells: fewer are searched for as fast, and their graphs are those of their own cells alone


@dataclass(frozen=True, kw_only=True)
class NeighborLists:
    """Lists of `length` neighbours of all cells of an embedding: their key in the cache, and how they were searched.

    `embedding` is the digest of its (n_cells, d) array.
    """

    key: str
    embedding: str
    n_cells: int
    metric: str
    length: int

    def serve(self, embedding: str, n_cells: int, n_neighbors: int, metric: str) -> bool:
        """Tell whether the neighbours of so many cells of the embedding of this digest are taken from these."""
        same = (embedding, metric) == (self.embedding, self.metric)
        return same and self.serve_so_many(n_cells) and list_length(n_neighbors) <= self.length

    @staticmethod
    def serve_so_many(n_cells: int) -> bool:
        """Tell whether any neighbours of so many cells are taken from lists."""
        return n_cells >= FROM_LISTS


def lists_of(embedding: ArrayRef, n_neighbors: int, metric: str, method: str | None) -> NeighborLists | None:
    """Return the lists that a graph of a whole embedding is made from; None where its search is exact, or a GPU's."""
    n_cells = embedding.shape[0]
    if method is not None or n_cells <= EXACT_UP_TO:
        return None
    length = list_length(n_neighbors)
    key = lists_key(embedding.digest, n_cells, length, metric)
    return NeighborLists(key=key, embedding=embedding.digest, n_cells=n_cells, metric=metric, length=length)


def find_lists(cache: Cache, lists: NeighborLists) -> Record | None:
    """Return the record of lists that the cache has."""
    return cache.find(lists.key, "knn")


def neighbors_from(
    lists: NeighborLists, cache: Cache, rows: npt.NDArray[np.int32], embedding: Floats, n_neighbors: int
) -> Neighbors:
    """Return the neighbours of some cells, given their rows' numbers (n,) and coordinates (n, d) float32.

    Raises
    ------
    DamagedEntry
        If the lists are gone from the cache, or are not what they were.
    """
    record = cache.read_record(lists.key)
    if record is None or record.kind != "knn":
        raise DamagedEntry(f"the neighbor lists {lists.key} are gone from {cache.store.url} since the run began")
    indices, distances = (cache.view(record.array(name), checked=True) for name in ("indices", "distances"))
    metric = METRICS[METRICS.index(lists.metric)]
    found, searched = from_lists(indices, distances, rows, embedding, n_neighbors, metric)
    share = f", {searched / len(rows):.1%} by {method_for(len(rows))}" if searched else ""
    return Neighbors(found.indices, found.distances, f"{method_of(lists)}{share}")


def method_of(lists: NeighborLists) -> str:
    """Return by what the neighbours are found that are taken from lists."""
    return f"lists of {lists.length} by {method_for(lists.n_cells)}"
