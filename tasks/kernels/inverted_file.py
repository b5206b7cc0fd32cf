"""Candidates for large sets: an inverted file of 4 √n lists (J. Sivic and A. Zisserman, 2003), by faiss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellstrata.tasks.kernels.faiss_search import Floats, Rows, Search, each_block, faiss
from cellstrata.tasks.kernels.rounding import Differences, matters

Nearest = Callable[[Floats, int], tuple[Floats, Rows]]

LISTS_PROBED, FEWEST_PROBED = 32, 20
CANDIDATES = 6000  # at the most, where lists are long
SEED, ITERATIONS, SAMPLED = 1234, 2, 16  # of k-means; cells for each list


@dataclass(frozen=True)
class _Lists:
    """The cells as they are compared (n, d), the list of each (n,), and what finds lists near a cell."""

    points: Floats
    own: Rows
    coarse: Any
    nearest: Nearest
    exhaustive: Nearest


def inverted_file(points: Floats, unrounded: Floats, k: int, threads: int) -> tuple[Rows, Search]:
    """Return the rows list by list, and a function from rows to their (m, k) candidates.

    In this order one row finds in the processor's cache what the last one used: three times as fast at a
    million cells. `points` (n, d) are centred; `unrounded` are the same as they came, and are taken where
    the error of float32 could confuse the lists.
    """
    lib = faiss()
    lib.omp_set_num_threads(1)
    n = len(points)
    lists = int(4 * math.sqrt(n))
    made, gaps = _by_expansion(points, lists, threads)
    if matters(np.linalg.norm(points, axis=1), gaps, points.shape[1]):
        made = _by_differences(unrounded, lists, threads)
    index = lib.IndexIVFFlat(made.coarse, made.points.shape[1], lists)
    numbers = np.arange(n)
    index.add_core(n, lib.swig_ptr(made.points), lib.swig_ptr(numbers), lib.swig_ptr(made.own))
    size = n / lists
    probed = max(math.ceil(10 * k / size), min(LISTS_PROBED, max(FEWEST_PROBED, math.ceil(CANDIDATES / size))))
    index.nprobe = min(probed, lists)

    def search(block: Rows) -> Rows:
        queries = made.points[block]
        gaps, nearby = made.nearest(queries, index.nprobe)
        _, candidates = index.search_preassigned(queries, k, nearby, gaps)
        short = np.flatnonzero((candidates < 0).any(1))
        if len(short):  # degenerate lists, such as many equal cells
            _, candidates[short] = made.exhaustive(queries[short], k)
        return candidates  # type: ignore[no-any-return]

    return np.argsort(made.own, kind="stable"), search


def _by_expansion(points: Floats, lists: int, threads: int) -> tuple[_Lists, Floats]:
    """Make the lists as fast as can be; also each cell's squared distance (n,) to the middle of its own."""
    lib, points = faiss(), _padded(points)
    d = points.shape[1]
    coarse = lib.IndexFlatL2(d)
    index = lib.IndexIVFFlat(coarse, d, lists)
    index.cp.seed, index.cp.niter = SEED, ITERATIONS
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, SAMPLED
    index.train(points)

    def nearest(queries: Floats, many: int) -> tuple[Floats, Rows]:
        lib.omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        found: tuple[Floats, Rows] = coarse.search(queries, many)
        return found

    def exhaustive(queries: Floats, many: int) -> tuple[Floats, Rows]:
        found: tuple[Floats, Rows] = lib.knn(queries, points, many)
        return found

    own, gaps = _own(points, nearest, threads)
    return _Lists(points, own, coarse, nearest, exhaustive), gaps


def _by_differences(points: Floats, lists: int, threads: int) -> _Lists:
    """Make the lists without the expansion of distances, where its error would confuse them."""
    points = _padded(points)
    middles = _middles(points, lists, threads)
    coarse = faiss().IndexFlatL2(points.shape[1])
    coarse.add(middles)
    nearest = Differences(middles).nearest
    return _Lists(points, _own(points, nearest, threads)[0], coarse, nearest, Differences(points).nearest)


def _middles(points: Floats, lists: int, threads: int) -> Floats:
    """Return the middles (lists, d) of k-means on a sample; a list that loses all its cells keeps its middle."""
    rng = np.random.default_rng(SEED)
    sample = points[rng.permutation(len(points))[: SAMPLED * lists]]
    middles = sample[:lists].copy()
    for _ in range(ITERATIONS):
        own, _ = _own(sample, Differences(middles).nearest, threads)
        order = np.argsort(own, kind="stable")
        filled, first = np.unique(own[order], return_index=True)
        sums = np.add.reduceat(sample[order].astype(np.float64), first)
        middles[filled] = sums / np.diff(np.append(first, len(own)))[:, None]
    return middles


def _own(points: Floats, nearest: Nearest, threads: int) -> tuple[Rows, Floats]:
    found = each_block(lambda rows: nearest(points[rows], 1), np.arange(len(points)), threads)
    return np.concatenate([lists[:, 0] for _, lists in found]), np.concatenate([gaps[:, 0] for gaps, _ in found])


def _padded(points: Floats) -> Floats:
    """Fill up rows that nearly have a multiple of 16 dimensions: 29 take longer to compare than 32."""
    missing = -points.shape[1] % 16
    return np.pad(points, ((0, 0), (0, missing))) if 0 < missing <= 4 else points
