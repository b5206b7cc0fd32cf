"""k nearest neighbours without a compile step, the same bits for any number of threads.

Candidates come from faiss: an exact search for small and medium sets, an inverted file of
high recall beyond. Its kernels run single-threaded on blocks of a fixed size and threads share the
blocks, because faiss' own threading changes the last bits with the number of threads. Distances are
then computed again from the coordinates, so neither the index nor its BLAS decides their value.

faiss compares by |x|² + |y|² - 2xy in float32, which is fast, and wrong where cells lie far from the
middle and near each other: two slides side by side, an outlying group. `rounding` bounds that error;
cells for which it may matter are compared again by their differences, so that exact means exact.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats, Rows, Search, blocks_of, each_block, faiss
from cellstrata.tasks.kernels.inverted_file import inverted_file, search_name
from cellstrata.tasks.kernels.rounding import Differences, doubtful

Metric = Literal["euclidean", "cosine"]
METRICS: tuple[Metric, ...] = ("euclidean", "cosine")
EXACT_UP_TO = 20_000  # cells; beyond, exact search costs over a second of one core
SPARE = 4  # candidates beyond k: faiss' float32 expansion of the distance seldom ranks the last ones right

Searcher = Callable[[Floats, int, int], tuple[Rows, Search]]
log = logging.getLogger("cellstrata.knn")


@dataclass(frozen=True)
class Neighbors:
    """The k nearest neighbours of each cell, itself first at distance 0.

    `indices` is (n, k) int32, `distances` (n, k) float32, ascending; ties by lower index.
    `method` says which search found them.
    """

    indices: npt.NDArray[np.int32]
    distances: Floats
    method: str

    def nearest(self, k: int) -> Neighbors:
        """Return the first k of each."""
        first = slice(None), slice(k)
        return Neighbors(
            np.ascontiguousarray(self.indices[first]), np.ascontiguousarray(self.distances[first]), self.method
        )


def method_for(n_cells: int) -> str:
    """Return the search used for a set of this size, as recorded and as part of the graph's key."""
    kind = "exact2" if n_cells <= EXACT_UP_TO else search_name(n_cells)
    return f"faiss-{faiss().__version__}-{kind}"


def effective_neighbors(n_neighbors: int, n_cells: int) -> int:
    """Return how many neighbors a cell gets, itself counted: 1 + n // 2 of fewer than `n_neighbors` cells.

    As scanpy does (`pp.neighbors`); were all cells neighbors of all, they could only be one cluster.
    """
    return n_neighbors if n_neighbors <= n_cells else 1 + n_cells // 2


def nearest_neighbors(
    embedding: Floats,
    n_neighbors: int,
    metric: Metric = "euclidean",
    threads: int = 1,
    searcher: Searcher | None = None,
    of: Rows | None = None,
) -> Neighbors:
    """Find the `n_neighbors` nearest neighbours of each cell, the cell itself counted (as UMAP and
    scanpy count).

    Parameters
    ----------
    embedding
        (n, d) float32, finite.
    n_neighbors
        k; where there are fewer cells, `effective_neighbors`.
    metric
        `cosine` is 1 - cos, and 1 to and from a cell whose coordinates are all zero.
    threads
        How many threads share the work; it does not change the result.
    searcher
        What finds candidates, instead of faiss.
    of
        (m,) int64, ascending: the cells whose neighbours are wanted, which alone are returned; None for all.
    """
    n = len(embedding)
    k = effective_neighbors(n_neighbors, n)
    if not n:
        return Neighbors(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32), method_for(0))
    points = normalised(embedding) if metric == "cosine" else embedding - embedding.mean(0, dtype=np.float64)
    points = np.ascontiguousarray(points, dtype=np.float32)
    searched = _zeros_apart(points) if metric == "cosine" else points
    # Centring rounds the coordinates once more; the differences of these are right to the last bits.
    unrounded = searched if metric == "cosine" else np.ascontiguousarray(embedding, dtype=np.float32)
    differences = Differences(unrounded)
    exhaustive = searcher is not None or n <= EXACT_UP_TO
    wanted = min(k + SPARE, n)
    if searcher is None and not exhaustive:
        groups, search = inverted_file(searched, unrounded, wanted, threads)
        blocks = groups if of is None else _among(groups, of, n)
    else:
        every, search = (searcher or _exhaustive)(searched, wanted, threads)
        blocks = blocks_of(every if of is None else of)
    norms = np.linalg.norm(points, axis=1)
    indices, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)

    def block(rows: Rows) -> None:
        candidates = search(rows)
        found, gaps, last = _ranked(points, rows, candidates, k, metric)
        again = doubtful(norms[rows], gaps[:, -1], last, searched.shape[1], metric)
        if again.any():
            few = rows[again]
            candidates = differences.nearest(unrounded[few], wanted)[1] if exhaustive else candidates[again]
            found[again], gaps[again], _ = _ranked(unrounded, few, candidates, k, metric, by_difference=True)
        indices[rows], distances[rows] = found, gaps

    each_block(block, blocks, threads)
    if of is not None:
        indices, distances = indices[of], distances[of]
    return Neighbors(indices, distances, method_for(n))


def _among(groups: list[Rows], of: Rows, n: int) -> list[Rows]:
    """Return those rows of each group that are wanted, without groups that have none."""
    wanted = np.zeros(n, bool)
    wanted[of] = True
    return [rows for group in groups if len(rows := group[wanted[group]])]


def normalised(embedding: Floats) -> Floats:
    """Return the rows with length 1, (n, d) float32; those that are all zero stay so."""
    norms = np.linalg.norm(embedding.astype(np.float64), axis=1, keepdims=True)
    return (embedding / np.where(norms == 0, 1, norms)).astype(np.float32)


def _zeros_apart(points: Floats) -> Floats:
    """Give cells whose coordinates are all zero one of their own, at a right angle to all others: else
    the search, which is by Euclidean distance, would take them for nearer than they are."""
    zero = ~points.any(1)
    return np.column_stack([points, zero.astype(np.float32)]) if zero.any() else points


def _exhaustive(points: Floats, k: int, threads: int) -> tuple[Rows, Search]:
    """Return all rows, and a function from rows to their (m, k) candidates, compared with every cell."""
    lib = faiss()
    index = lib.IndexFlatL2(points.shape[1])
    index.add(points)

    def search(rows: Rows) -> npt.NDArray[np.int64]:
        lib.omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        _, candidates = index.search(points[rows], k)
        return candidates  # type: ignore[no-any-return]

    return np.arange(len(points)), search


def _ranked(
    points: Floats, rows: Rows, candidates: Rows, k: int, metric: Metric, *, by_difference: bool = False
) -> tuple[npt.NDArray[np.int32], Floats, Floats]:
    """Rank candidates by their true distance, the cell itself first, and keep k; also the largest of all (m,).

    `by_difference` takes a small angle from the chord between two cells: their cosine is too near 1 to tell.
    """
    missing = ~(candidates == rows[:, None]).any(1)  # possible among more than k equal cells
    candidates[missing, -1] = rows[missing]
    candidates.sort(axis=1)
    difference = points[candidates]
    own = points[rows][:, None, :]
    if metric == "cosine" and not by_difference:
        distances = 1 - np.einsum("nkd,nkd->nk", difference, np.broadcast_to(own, difference.shape))
        np.maximum(distances, 0, out=distances)
    else:
        difference -= own
        distances = np.einsum("nkd,nkd->nk", difference, difference)
        distances = distances / 2 if metric == "cosine" else np.sqrt(distances)
    last = distances.max(1)
    itself = candidates == rows[:, None]
    distances[itself] = -1
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, 1)
    distances[:, 0] = 0
    return np.take_along_axis(candidates, order, 1).astype(np.int32), distances.astype(np.float32), last
