"""Candidates for large sets: lists of cells that lie together, each compared as a whole with the lists near it.

An inverted file (J. Sivic and A. Zisserman, 2003) compares each query with the lists nearest to it, one by one. Here
all cells are queries, so the cells of a list share their work: all of them are compared with every list that one of
them is near to, as a product of matrices. That compares several times as many pairs in less time, and misses fewer.

Of very many cells there are so many lists that to find a cell's own among them would take longest. There the lists
come in groups, and cells find theirs among the lists of a few groups in the same way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellstrata.tasks.kernels.faiss_search import Floats, Rows, Search, blocks_of, each_block, faiss
from cellstrata.tasks.kernels.rounding import Differences, bound, matters

Nearest = Callable[[Floats, int], tuple[Floats, Rows]]

NEAR = 6  # lists nearest to a cell that are compared with its own
CELLS_OF_LIST, LISTS_GROW = 240, 4  # on average; √n / 4 if that is more and there are no groups
LISTS_OF_GROUP, NEAR_OF_GROUPS = 40, 8  # on average; the latter in the stead of NEAR, since the lists stay small
GROUPED_FROM = 500_000  # cells; beyond, the lists come in groups
HARMLESS = 0.01  # of the squared distance to the last candidate: there are some to spare
SEED, ITERATIONS, SAMPLED = 1234, 2, 32  # of k-means; cells for each list


@dataclass(frozen=True)
class _Lists:
    """The lists of cells, and which lists each is compared with.

    `points` are the cells as they are compared, (n, d), list after list; `rows` (n,) their numbers; list i begins at
    `starts[i]` (lists + 1,); it is compared with the lists `near[i]`.
    """

    points: Floats
    rows: Rows
    starts: Rows
    near: list[Rows]

    def together(self, one: int) -> tuple[Floats, Rows]:
        """Return the points and the numbers of the cells with which a list is compared, its own among them."""
        parts = [slice(self.starts[each], self.starts[each + 1]) for each in self.near[one]]
        return np.concatenate([self.points[part] for part in parts]), np.concatenate(
            [self.rows[part] for part in parts]
        )


def search_name(n_cells: int) -> str:
    """Return what the search of so many cells is called: another name, other candidates."""
    return f"grouped{NEAR_OF_GROUPS}-{LISTS_OF_GROUP}" if n_cells > GROUPED_FROM else f"grouped{NEAR}"


def inverted_file(points: Floats, unrounded: Floats, k: int, threads: int) -> tuple[list[Rows], Search]:
    """Return the rows list by list, and a function from rows of one list to their (m, k) candidates.

    `points` (n, d) are centred; `unrounded` are the same as they came, and are taken where the error of float32 could
    confuse the lists.
    """
    n = len(points)
    size = max(CELLS_OF_LIST, math.sqrt(n) / LISTS_GROW)
    lists, wanted = math.ceil(n / size), max(NEAR, math.ceil(2 * k / size))
    if n > GROUPED_FROM:
        own, near, gaps = _nearest_of_groups(points, max(NEAR_OF_GROUPS, math.ceil(2 * k / CELLS_OF_LIST)), threads)
    else:
        own, near, gaps = _nearest_lists(points, _by_expansion(points, lists), min(wanted, lists), threads)
    if matters(np.linalg.norm(points, axis=1), gaps, points.shape[1]):
        middles = np.unique(_middles(unrounded, lists, threads), axis=0)  # those of equal cells are equal
        points = unrounded
        own, near, _ = _nearest_lists(points, Differences(middles).nearest, min(wanted, len(middles)), threads)
    lists = int(near.max()) + 1
    rows = np.argsort(own, kind="stable")
    starts = np.searchsorted(own[rows], np.arange(lists + 1))
    pairs = np.unique((own[:, None] * lists + near).ravel())
    bounds = np.searchsorted(pairs, np.arange(lists + 1) * lists)
    compared = [pairs[start:end] % lists for start, end in itertools.pairwise(bounds)]
    made = _Lists(points[rows], rows, starts, compared)

    def search(block: Rows) -> Rows:
        faiss().omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        others, numbers = made.together(int(own[block[0]]))
        if len(numbers) < k:  # lists of a few cells, far from all others
            others, numbers = made.points, made.rows
        return numbers[_compared(points[block], others, k)]

    groups = [block for start, end in itertools.pairwise(starts) for block in blocks_of(rows[start:end])]
    return groups, search


def _compared(queries: Floats, others: Floats, k: int) -> Rows:
    """Return which k of the others (m, k) are nearest to each query.

    All are shifted by the middle of the queries: near it the expansion of distances is wrong by little, wherever they
    lie. Queries for which that may still matter are compared by their differences.
    """
    middle = queries.mean(0, dtype=np.float64).astype(np.float32)
    queries, others = queries - middle, others - middle
    gaps, found = faiss().knn(queries, others, k)
    farthest = np.maximum(gaps[:, -1], 0)
    wrong = bound(np.linalg.norm(queries, axis=1), np.sqrt(farthest), queries.shape[1])
    again = wrong > HARMLESS * farthest
    if again.any():
        found[again] = Differences(others).nearest(queries[again], k)[1]
    return found  # type: ignore[no-any-return]


def _nearest_lists(points: Floats, nearest: Nearest, many: int, threads: int) -> tuple[Rows, Rows, Floats]:
    """Return the list of each cell (n,), those that are near to it (n, many), and its squared distance to its own's
    middle (n,)."""
    found = each_block(lambda rows: nearest(points[rows], many), blocks_of(np.arange(len(points))), threads)
    near = np.concatenate([lists for _, lists in found])
    return near[:, 0], near, np.concatenate([gaps[:, 0] for gaps, _ in found])


def _nearest_of_groups(points: Floats, many: int, threads: int) -> tuple[Rows, Rows, Floats]:
    """Return what `_nearest_lists` does, for lists of the usual size that come in groups.

    The lists of a group have middles of their own among its cells. All cells of a group are compared with the lists
    of every group that one of them is near to.
    """
    lib, n = faiss(), len(points)
    groups = math.ceil(n / CELLS_OF_LIST / LISTS_OF_GROUP)
    group, near_groups, _ = _nearest_lists(points, _by_expansion(points, groups), min(NEAR, groups), threads)
    rows = np.argsort(group, kind="stable")
    cells = np.split(rows, np.searchsorted(group[rows], np.arange(1, groups)))
    middles = each_block(lambda own: _middles_by_expansion(points[own]), cells, threads)
    starts = np.cumsum([0, *map(len, middles)])
    lists = int(starts[-1])
    many = min(many, lists)
    near, gaps = np.empty((n, many), np.int64), np.empty(n, np.float32)

    def search(own: Rows) -> None:
        lib.omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        around = np.unique(near_groups[own])
        numbers = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in around])
        if len(numbers) < many:
            around, numbers = np.arange(groups), np.arange(lists)
        others = np.concatenate([middles[one] for one in around])
        for block in blocks_of(own):
            distances, found = lib.knn(points[block], others, many)
            near[block], gaps[block] = numbers[found], distances[:, 0]

    each_block(search, [own for own in cells if len(own)], threads)
    return near[:, 0], near, gaps


def _middles_by_expansion(points: Floats) -> Floats:
    """Return the middles (lists, d) of lists of the usual size."""
    lists = math.ceil(len(points) / CELLS_OF_LIST)
    found: Floats = _trained(points, lists).reconstruct_n(0, lists) if lists else points
    return found


def _by_expansion(points: Floats, lists: int) -> Nearest:
    """Make the middles of lists as fast as can be, and return what finds those nearest to some points."""
    lib, coarse = faiss(), _trained(points, lists)

    def nearest(queries: Floats, many: int) -> tuple[Floats, Rows]:
        lib.omp_set_num_threads(1)
        found: tuple[Floats, Rows] = coarse.search(queries, many)
        return found

    return nearest


def _trained(points: Floats, lists: int) -> Any:
    """Return faiss' index of the middles that its k-means finds on a sample."""
    lib = faiss()
    lib.omp_set_num_threads(1)
    coarse = lib.IndexFlatL2(points.shape[1])
    index = lib.IndexIVFFlat(coarse, points.shape[1], lists)
    index.cp.seed, index.cp.niter = SEED, ITERATIONS
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, SAMPLED
    index.train(points)
    return coarse


def _middles(points: Floats, lists: int, threads: int) -> Floats:
    """Return the middles (lists, d) of k-means on a sample, without the expansion of distances, where its error would
    confuse them; a list that loses all its cells keeps its middle."""
    rng = np.random.default_rng(SEED)
    sample = points[rng.permutation(len(points))[: SAMPLED * lists]]
    middles = sample[:lists].copy()
    for _ in range(ITERATIONS):
        own, _, _ = _nearest_lists(sample, Differences(middles).nearest, 1, threads)
        order = np.argsort(own, kind="stable")
        filled, first = np.unique(own[order], return_index=True)
        sums = np.add.reduceat(sample[order].astype(np.float64), first)
        middles[filled] = sums / np.diff(np.append(first, len(own)))[:, None]
    return middles
