"""The table of two groupings of the same cells, sparse: how many cells each pair of groups shares. No SciPy.

Two columns of 10,000 clusters each have 10^8 pairs, nearly all of them empty: only the others are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.agreement import Codes

BLOCK = 1 << 21  # cells that are counted at a time
FEW = 1 << 22  # pairs that are counted in an array of their own

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CrossTable:
    """The pairs of groups that share cells, by the first group and then the second.

    `rows` and `columns` (m,) are the codes of the pairs' groups, `counts` (m,) int64 their cells, all above 0; `shape`
    is how many groups both have.
    """

    rows: Counts
    columns: Counts
    counts: Counts
    shape: tuple[int, int]

    @cached_property
    def row_sizes(self) -> Counts:
        """How many of the cells that both group each of the first groups has, (shape[0],) int64."""
        return _summed(self.rows, self.counts, self.shape[0])

    @cached_property
    def column_sizes(self) -> Counts:
        """The same of the second groups, (shape[1],) int64."""
        return _summed(self.columns, self.counts, self.shape[1])

    @property
    def n_cells(self) -> int:
        """How many cells both group."""
        return int(self.counts.sum())

    @cached_property
    def jaccard(self) -> npt.NDArray[np.float64]:
        """The Jaccard index of each pair, (m,): cells of both groups as a share of the cells of either."""
        union = self.row_sizes[self.rows] + self.column_sizes[self.columns] - self.counts
        return np.asarray(self.counts / union)

    @cached_property
    def keys(self) -> Counts:
        """Each pair as one number, ascending: the first group's code times the number of second groups, and its own."""
        return self.rows * self.shape[1] + self.columns


def cross_table(first: Codes, second: Codes, n_first: int, n_second: int) -> CrossTable:
    """Count the cells of each pair of groups.

    `first` and `second` are (n,) codes, negative where a cell has no group: such cells are left out. It takes 16 bytes
    for each cell of a block, and no more for millions of cells.
    """
    few = n_first * n_second <= FEW
    dense = np.zeros(n_first * n_second if few else 0, np.int64)
    found: list[tuple[Counts, Counts]] = []
    for _, keys in _blocks(first, second, n_second):
        if few:
            dense += np.bincount(keys, minlength=len(dense))
        else:
            found.append(np.unique(keys, return_counts=True))
    if few:
        keys = np.flatnonzero(dense)
        counts = dense[keys]
    else:
        every = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in found)])
        keys, places = np.unique(every, return_inverse=True)
        counts = _summed(places, np.concatenate([np.empty(0, np.int64), *(n for _, n in found)]), len(keys))
    return CrossTable(keys // max(n_second, 1), keys % max(n_second, 1), counts, (n_first, n_second))


def by_cell(table: CrossTable, values: npt.NDArray[np.float64], first: Codes, second: Codes) -> npt.NDArray[np.float32]:
    """Return for each cell the value of its pair, (n,) float32, NaN where it has no group in one of the two.

    `values` (m,) belong to the pairs of the table, which is that of these codes.
    """
    found = np.full(len(first), np.nan, np.float32)
    few = table.shape[0] * table.shape[1] <= FEW
    every = np.zeros(table.shape[0] * table.shape[1] if few else 0, np.float32)  # looked up ten times as fast
    if few:
        every[table.keys] = values
    for cells, keys in _blocks(first, second, table.shape[1]):
        found[cells] = every[keys] if few else values[np.searchsorted(table.keys, keys)]
    return found


def _blocks(first: Codes, second: Codes, n_second: int) -> Iterator[tuple[Counts, Counts]]:
    """Yield the numbers of the cells that both group, and their pairs as numbers, block by block."""
    for start in range(0, len(first), BLOCK):
        one, other = first[start : start + BLOCK], second[start : start + BLOCK]
        both = np.flatnonzero((one >= 0) & (other >= 0))
        yield both + start, one[both].astype(np.int64) * n_second + other[both]


def _summed(places: Counts, counts: Counts, n: int) -> Counts:
    # As float64, exact up to 2^53 cells.
    return np.bincount(places, counts, minlength=n).astype(np.int64)
