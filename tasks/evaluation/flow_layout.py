"""Where the groups of two groupings stand when they are drawn side by side, so that what belongs together is near.

Numbers alone: a figure and a page draw the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.comparison import Comparison, Partners

MOST_GROUPS = 40  # of each grouping that are drawn, the largest
GAP = 0.1  # share of the height that lies between groups, at least
THINNEST = 0.0005  # share of all cells; thinner ribbons are left out
OTHERS = "others"
GREY = "#9aa3ad"

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The groups that are drawn, in their order, as indices into the labels; `more_rows` and `more_columns` are not.

    Rows are in the order of the labels. Columns follow the rows that they have the highest Jaccard index with.
    """

    rows: Places
    columns: Places
    more_rows: int
    more_columns: int


@dataclass(frozen=True)
class FlowNode:
    """A group of one side: where it stands, from 0 at the top to 1."""

    label: str
    color: str
    n_cells: int
    top: float
    bottom: float


@dataclass(frozen=True)
class Ribbon:
    """Cells that two groups share: their places in `left` and `right`, and where the ribbon begins and ends there."""

    left: int
    right: int
    n_cells: int
    left_top: float
    left_bottom: float
    right_top: float
    right_bottom: float


@dataclass(frozen=True)
class Flow:
    """What the groups of the first grouping, on the left, become in the second, on the right."""

    left: tuple[FlowNode, ...]
    right: tuple[FlowNode, ...]
    ribbons: tuple[Ribbon, ...]


def arranged(comparison: Comparison, most: int = MOST_GROUPS) -> Arrangement:
    """Return which groups are drawn, and in which order."""
    rows, more_rows = _largest(comparison.of_first, most)
    columns, more_columns = _largest(comparison.of_second, most)
    place = np.full(len(comparison.first.labels) + 1, len(rows), np.int64)
    place[rows] = np.arange(len(rows))
    of = comparison.of_second
    order = np.lexsort((columns, -of.jaccard[columns], place[of.best[columns]]))
    return Arrangement(rows, columns[order], more_rows, more_columns)


def heat(comparison: Comparison, shown: Arrangement) -> npt.NDArray[np.float64]:
    """Return the Jaccard index of the groups that are drawn, (rows, columns) float64."""
    table, (n, k) = comparison.table, comparison.table.shape
    row, column = np.full(n, -1, np.int64), np.full(k, -1, np.int64)
    row[shown.rows], column[shown.columns] = np.arange(len(shown.rows)), np.arange(len(shown.columns))
    there = (row[table.rows] >= 0) & (column[table.columns] >= 0)
    values = np.zeros((len(shown.rows), len(shown.columns)))
    values[row[table.rows[there]], column[table.columns[there]]] = table.jaccard[there]
    return values


def flow(comparison: Comparison, shown: Arrangement, least: float = 0.0) -> Flow:
    """Lay out a diagram of how cells flow from the first groups to the second; groups that are not shown are one.

    `least` is the share of the height that each group has for its name, however few its cells: on both sides a cell
    is equally high, so high as that allows.
    """
    counts = _counts(comparison, shown)
    sizes, other_sizes = counts.sum(axis=1), counts.sum(axis=0)
    unit = min(_unit(sizes, least), _unit(other_sizes, least))
    left = _nodes(sizes, comparison.first.labels, comparison.first.colors, shown.rows, unit, least)
    right = _nodes(other_sizes, comparison.second.labels, comparison.second.colors, shown.columns, unit, least)
    starts, ends = counts.cumsum(axis=1) - counts, counts.cumsum(axis=0) - counts
    ribbons = [
        Ribbon(
            int(i), int(j), int(n),
            left[i].top + unit * starts[i, j], left[i].top + unit * (starts[i, j] + n),
            right[j].top + unit * ends[i, j], right[j].top + unit * (ends[i, j] + n),
        )
        for i, j in zip(*np.nonzero(counts), strict=True)
        if (n := counts[i, j]) >= THINNEST * comparison.table.n_cells
    ]  # fmt: skip
    return Flow(left, right, tuple(sorted(ribbons, key=lambda ribbon: (-ribbon.n_cells, ribbon.left, ribbon.right))))


def _largest(of: Partners, most: int) -> tuple[Places, int]:
    there = np.flatnonzero(of.sizes)
    kept = np.sort(there[np.argsort(-of.sizes[there], kind="stable")[:most]])
    return kept, len(there) - len(kept)


def _counts(comparison: Comparison, shown: Arrangement) -> Places:
    """Count cells by the groups that are drawn, those that are not in a last row and column where there are any."""
    table, (n, k) = comparison.table, comparison.table.shape
    row, column = np.full(n, len(shown.rows), np.int64), np.full(k, len(shown.columns), np.int64)
    row[shown.rows], column[shown.columns] = np.arange(len(shown.rows)), np.arange(len(shown.columns))
    wide, high = len(shown.columns) + (shown.more_columns > 0), len(shown.rows) + (shown.more_rows > 0)
    places = row[table.rows] * wide + column[table.columns]
    return np.bincount(places, table.counts, minlength=high * wide).astype(np.int64).reshape(high, wide)


def _unit(sizes: Places, least: float) -> float:
    """Return how high a cell can be: with a gap, and not less than `least` for each group, all find room."""
    gap = GAP / len(sizes)
    low, high = 0.0, 1 / sizes.sum()
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(middle * sizes + gap, least).sum() <= 1 else (low, middle)
    return float(low)


def _nodes(
    sizes: Places, labels: tuple[str, ...], colors: Mapping[str, str], shown: Places, unit: float, least: float
) -> tuple[FlowNode, ...]:
    names = [labels[place] for place in shown] + [OTHERS] * (len(sizes) - len(shown))
    of = [colors.get(labels[place], GREY) for place in shown] + [GREY] * (len(sizes) - len(shown))
    heights = unit * sizes
    rooms = np.maximum(heights + GAP / len(sizes), least)
    rooms = rooms + max(0.0, 1 - rooms.sum()) / len(sizes)
    middles = np.cumsum(rooms) - rooms / 2
    return tuple(
        FlowNode(name, color, int(n), float(middle - height / 2), float(middle + height / 2))
        for name, color, n, middle, height in zip(names, of, sizes, middles, heights, strict=True)
    )
