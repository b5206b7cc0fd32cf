"""k nearest neighbours without a compile step, the same bits for any number of threads.

Candidates come from faiss: an exact search for small and medium sets, an inverted file (IVF) of
high recall beyond. Its kernels run single-threaded on blocks of a fixed size and threads share the
blocks, because faiss' own threading changes the last bits with the number of threads. Distances are
then computed again from the coordinates, so neither the index nor its BLAS decides their value.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["euclidean", "cosine"]
METRICS: tuple[Metric, ...] = ("euclidean", "cosine")
EXACT_UP_TO = 20_000  # cells; beyond, exact search costs over a second of one core
BLOCK = 4096  # queries; part of the result's definition, see above
SPARE = 4  # candidates beyond k: faiss' float32 expansion of the distance seldom ranks the last ones right
LISTS_PROBED, FEWEST_PROBED = 32, 20
CANDIDATES = 6000  # at the most, where lists are long

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Search = Callable[[Rows], npt.NDArray[np.int64]]
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


@cache
def faiss() -> Any:
    """Import faiss and make its exact search use BLAS at any dimension (1.14 raised the threshold,
    which makes it five times slower at 10 dimensions)."""
    import faiss as module

    module.cvar.distance_compute_blas_threshold = 20
    return module


def method_for(n_cells: int) -> str:
    """Return the search used for a set of this size, as recorded and as part of the graph's key."""
    kind = "exact" if n_cells <= EXACT_UP_TO else f"ivf{LISTS_PROBED}b"
    return f"faiss-{faiss().__version__}-{kind}"


def nearest_neighbors(
    embedding: Floats,
    n_neighbors: int,
    metric: Metric = "euclidean",
    threads: int = 1,
    searcher: Searcher | None = None,
) -> Neighbors:
    """Find the `n_neighbors` nearest neighbours of each cell, the cell itself counted (as UMAP and
    scanpy count).

    Parameters
    ----------
    embedding
        (n, d) float32, finite.
    n_neighbors
        k; lowered to n where there are fewer cells.
    metric
        `cosine` is 1 - cos, and 1 to and from a cell whose coordinates are all zero.
    threads
        How many threads share the work; it does not change the result.
    searcher
        What finds candidates, instead of faiss.
    """
    n = len(embedding)
    k = min(n_neighbors, n)
    if not n:
        return Neighbors(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32), method_for(0))
    points = _normalised(embedding) if metric == "cosine" else embedding - embedding.mean(0, dtype=np.float64)
    points = np.ascontiguousarray(points, dtype=np.float32)
    searched = _zeros_apart(points) if metric == "cosine" else points
    make = searcher or (_inverted_file if n > EXACT_UP_TO else _exhaustive)
    order, search = make(searched, min(k + SPARE, n), threads)
    indices, distances = np.empty((n, k), np.int32), np.empty((n, k), np.float32)

    def block(rows: Rows) -> None:
        indices[rows], distances[rows] = _ranked(points, rows, search(rows), k, metric)

    _each_block(block, order, threads)
    return Neighbors(indices, distances, method_for(n))


def _each_block(call: Callable[[Rows], object], rows: Rows, threads: int) -> list[Any]:
    """Call a function with each block of rows, `threads` at a time."""
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    if threads < 2 or len(blocks) < 2:
        return [call(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, blocks))


def _normalised(embedding: Floats) -> Floats:
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


def _inverted_file(points: Floats, k: int, threads: int) -> tuple[Rows, Search]:
    """The same by an inverted file of 4 √n lists. Rows come list by list, so that one finds in the
    processor's cache what the last one used: three times as fast at a million cells."""
    lib = faiss()
    lib.omp_set_num_threads(1)
    points = _padded(points)
    n, d = points.shape
    lists = int(4 * math.sqrt(n))
    coarse = lib.IndexFlatL2(d)
    index = lib.IndexIVFFlat(coarse, d, lists)
    index.cp.seed, index.cp.niter = 1234, 2
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 16
    index.train(points)
    size = n / lists
    probed = max(math.ceil(10 * k / size), min(LISTS_PROBED, max(FEWEST_PROBED, math.ceil(CANDIDATES / size))))
    rows = np.arange(n)

    def nearest(block: Rows, lists: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        lib.omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        found: tuple[Floats, npt.NDArray[np.int64]] = coarse.search(points[block], lists)
        return found

    own = np.concatenate([found[:, 0] for _, found in _each_block(lambda block: nearest(block, 1), rows, threads)])
    index.add_core(n, lib.swig_ptr(points), lib.swig_ptr(rows), lib.swig_ptr(own))
    index.nprobe = min(probed, lists)

    def search(block: Rows) -> npt.NDArray[np.int64]:
        gaps, nearby = nearest(block, index.nprobe)
        _, candidates = index.search_preassigned(points[block], k, nearby, gaps)
        short = np.flatnonzero((candidates < 0).any(1))
        if len(short):  # degenerate lists, such as many equal cells
            _, candidates[short] = lib.knn(points[block[short]], points, k)
        return candidates  # type: ignore[no-any-return]

    return np.argsort(own, kind="stable"), search


def _padded(points: Floats) -> Floats:
    """Fill up rows that nearly have a multiple of 16 dimensions: 29 take longer to compare than 32."""
    missing = -points.shape[1] % 16
    return np.pad(points, ((0, 0), (0, missing))) if 0 < missing <= 4 else points


def _ranked(
    points: Floats, rows: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64], k: int, metric: Metric
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Rank candidates by their true distance, the cell itself first, and keep k."""
    missing = ~(candidates == rows[:, None]).any(1)  # possible among more than k equal cells
    candidates[missing, -1] = rows[missing]
    candidates.sort(axis=1)
    difference = points[candidates]
    own = points[rows][:, None, :]
    if metric == "cosine":
        distances = 1 - np.einsum("nkd,nkd->nk", difference, np.broadcast_to(own, difference.shape))
        np.maximum(distances, 0, out=distances)
    else:
        difference -= own
        distances = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
    itself = candidates == rows[:, None]
    distances[itself] = -1
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, 1)
    distances[:, 0] = 0
    return np.take_along_axis(candidates, order, 1).astype(np.int32), distances.astype(np.float32)
