"""Two groupings of the same cells side by side: how far they agree, as a whole, by cluster and by cell.

The similarity of a cell is the element-centric similarity of A. J. Gates, I. B. Wood, W. P. Hetrick and Y.-Y. Ahn,
Scientific Reports 9, 8574 (2019), doi 10.1038/s41598-019-44892-y. Between partitions it has a closed form, in which
their alpha drops out: the cells that share both groups with the cell, itself among them, as a share of the larger of
both groups. Equal to that of the package clusim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.agreement import Agreement, agreement_of_counts
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.evaluation.cross_table import CrossTable, by_cell, cross_table

QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class LeftOut:
    """Cells that have no value: in the first grouping alone, in the second alone, in both. They count for nothing."""

    only_first: int
    only_second: int
    both: int

    @property
    def n_cells(self) -> int:
        """How many cells are left out."""
        return self.only_first + self.only_second + self.both


@dataclass(frozen=True, eq=False)
class Partners:
    """What each group of a grouping becomes in the other one, arrays (k,) in the order of its labels.

    `best` is the group of the other one with the highest Jaccard index (of equal ones the first), -1 where no cell of
    the group has a value there; `jaccard` is that index, `shared` the cells that both have, `similarity` the mean
    element-centric similarity of the group's cells. All are of the cells that both groupings have a value for, `sizes`
    too; `every` counts the others as well.
    """

    sizes: npt.NDArray[np.int64]
    every: npt.NDArray[np.int64]
    best: npt.NDArray[np.int64]
    jaccard: npt.NDArray[np.float64]
    shared: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two groupings of the same cells, and how they agree.

    Attributes
    ----------
    first, second
        The groupings.
    table
        How many cells each pair of their groups shares.
    agreement
        ARI, NMI and V-measure. The first groups count as clusters, the second as classes: `homogeneity` is 1 where
        each first group lies in one second group, `completeness` where each second group lies in one first group.
    left_out
        The cells without a value.
    """

    first: Categories
    second: Categories
    table: CrossTable
    agreement: Agreement
    left_out: LeftOut

    @cached_property
    def similarities(self) -> npt.NDArray[np.float64]:
        """The element-centric similarity of the cells of each pair of the table, (m,) from above 0 to 1."""
        table = self.table
        larger = np.maximum(table.row_sizes[table.rows], table.column_sizes[table.columns])
        return np.asarray(table.counts / larger)

    @property
    def similarity(self) -> float:
        """The mean element-centric similarity of the cells."""
        return float((self.similarities * self.table.counts).sum() / self.table.n_cells)

    @property
    def quartiles(self) -> tuple[float, ...]:
        """The lower quartile, the median and the upper quartile of the cells' similarity."""
        order = np.argsort(self.similarities, kind="stable")
        reached = np.cumsum(self.table.counts[order])
        places = np.searchsorted(reached, np.array(QUARTILES) * self.table.n_cells)
        return tuple(float(value) for value in self.similarities[order][np.minimum(places, len(order) - 1)])

    @cached_property
    def of_first(self) -> Partners:
        """What the first groups become in the second grouping."""
        table = self.table
        return self._partners(table.rows, table.columns, table.row_sizes, self.first)

    @cached_property
    def of_second(self) -> Partners:
        """What the second groups come from in the first grouping."""
        table = self.table
        return self._partners(table.columns, table.rows, table.column_sizes, self.second)

    def of_cells(self) -> npt.NDArray[np.float32]:
        """Return the element-centric similarity of each cell, (n,) float32, NaN for those that are left out."""
        return by_cell(self.table, self.similarities, self.first.codes, self.second.codes)

    def _partners(
        self, own: npt.NDArray[np.int64], others: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], of: Categories
    ) -> Partners:
        table, n = self.table, len(of.labels)
        order = np.lexsort((others, -table.jaccard, own))
        groups, starts = np.unique(own[order], return_index=True)
        chosen = order[starts]
        best, jaccard, shared = np.full(n, -1, np.int64), np.zeros(n), np.zeros(n, np.int64)
        best[groups], jaccard[groups], shared[groups] = others[chosen], table.jaccard[chosen], table.counts[chosen]
        with np.errstate(invalid="ignore"):
            similarity = np.bincount(own, self.similarities * table.counts, minlength=n) / sizes
        return Partners(sizes, of.counts(), best, jaccard, shared, similarity)


def compare(first: Categories, second: Categories) -> Comparison:
    """Compare two groupings of the same cells, in the same order.

    Raises
    ------
    ValueError
        If they are of different numbers of cells, or no cell has a value in both.
    """
    if len(first.codes) != len(second.codes):
        raise ValueError(f"{len(first.codes)} cells cannot be compared with {len(second.codes)}")
    table = cross_table(first.codes, second.codes, len(first.labels), len(second.labels))
    if not table.n_cells:
        raise ValueError("no cell has a value in both")
    lost, lost_too = first.codes < 0, second.codes < 0
    both = int((lost & lost_too).sum())
    left_out = LeftOut(int(lost.sum()) - both, int(lost_too.sum()) - both, both)
    return Comparison(
        first, second, table, agreement_of_counts(table.counts, table.row_sizes, table.column_sizes), left_out
    )
