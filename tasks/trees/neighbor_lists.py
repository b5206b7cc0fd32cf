"""The lists of all cells' neighbours in the cache, from which the neighbours of large clusters are taken.

Beyond the size up to which every search is exact, all cells are searched for more neighbours than a graph needs. What
is taken from these lists is a function of the lists and the cells' numbers, so the key of such a graph names both. It
depends on no order and no runner, not on the path of the cluster, and not on how level 1 was split. Where all searches
are exact there are no lists, and graphs have the keys of their own cells alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry, Record
from cellstrata.tasks.kernels.faiss_search import Floats
from cellstrata.tasks.kernels.knn import EXACT_UP_TO, METRICS, Neighbors, method_for
from cellstrata.tasks.kernels.neighbor_lists import LISTED, SERVED, from_lists
from cellstrata.tasks.trees.keys import lists_key

FROM_LISTS = 1_000  # cells: fewer are searched for as fast, and their graphs are those of their own cells alone


@dataclass(frozen=True, kw_only=True)
class NeighborLists:
    """Lists of all cells' neighbours: their key in the cache, the embedding (n_cells, d), and how it is searched."""

    key: str
    embedding: ArrayRef
    metric: str

    @property
    def n_cells(self) -> int:
        """The number of all cells."""
        return self.embedding.shape[0]


def lists_of(embedding: ArrayRef, n_neighbors: int, metric: str, method: str | None) -> NeighborLists | None:
    """Return the lists from which so many neighbours are taken, of all cells of an embedding or some.

    None where a search is exact, a GPU's `method` searches all cells, or too many neighbours are wanted.
    """
    n_cells = embedding.shape[0]
    if method is not None or n_cells <= EXACT_UP_TO or n_neighbors > SERVED:
        return None
    return NeighborLists(key=lists_key(embedding.digest, n_cells, LISTED, metric), embedding=embedding, metric=metric)


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
    indices, distances = (cache.mapped(record, name) for name in ("indices", "distances"))
    metric = METRICS[METRICS.index(lists.metric)]
    found, searched = from_lists(indices, distances, rows, embedding, n_neighbors, metric)
    share = f", {searched / len(rows):.1%} by {method_for(len(rows))}" if searched else ""
    return Neighbors(found.indices, found.distances, f"{method_of(lists)}{share}")


def method_of(lists: NeighborLists) -> str:
    """Return by what the neighbours are found that are taken from lists."""
    return f"lists of {LISTED} by {method_for(lists.n_cells)}"
