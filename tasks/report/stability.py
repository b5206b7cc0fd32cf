"""What the runs of ensembles know, as a page tells it: clusters that are not found again, single runs, a code for each
cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.report.clusters import Grown
from cellstrata.tasks.report.named_clusters import NamedClusters, listed
from cellstrata.tasks.results.stability import Values
from cellstrata.tasks.trees.labels import STABILITY_SUFFIX
from cellstrata.tasks.trees.rows import Row

STEPS = 25  # that a page tells apart: of fewer values more is deflated
BELOW = LOW - 0.006  # what is lower still shows as lower when it is rounded


def stability_of(row: Row) -> float:
    """Return the stability of a cluster, NaN for a single run and in older tables."""
    return float(row.get("stability", math.nan))


def runs_of(row: Row) -> int:
    """Return how many runs the split of a cluster was made of, 0 without a split and in older tables."""
    return int(row.get("runs", 0))


def dissolved(tree: Grown, column: str) -> list[Row]:
    """Return the clusters of a column that most runs do not have; what was left whole counts where it was made."""
    return [row for row in _made(tree, column) if stability_of(row) < LOW]


def unstable(trees: Sequence[Grown]) -> NamedClusters | None:
    """Return which clusters other seeds do not find again, None without any."""
    known = low = 0
    which = []
    for tree in trees:
        for column in tree.columns:
            known += sum(math.isfinite(stability_of(row)) for row in _made(tree, column))
            if rows := dissolved(tree, column):
                low += len(rows)
                named = [f"{row['cluster']} ({min(stability_of(row), BELOW):.2f})" for row in rows]
                which.append((column, listed(named)))
    if not low:
        return None
    said = f"{low:,} of {known:,} clusters have a stability below {LOW}: other seeds do not find them again."
    return NamedClusters("unstable", said, tuple(which))


def single_runs(trees: Sequence[Grown]) -> str:
    """Return the sentence that tells of what single runs were made, empty without any."""
    named: list[str] = []
    for tree in trees:
        runs = {column: [runs_of(row) for row in tree.splits(column) if runs_of(row)] for column in tree.columns}
        there = {column: of for column, of in runs.items() if of}
        if there and all(max(of) == 1 for of in there.values()):
            named.append(tree.name)
        else:
            named += [f"{column}{' (in part)' * (max(of) > 1)}" for column, of in there.items() if min(of) == 1]
    if not named:
        return ""
    return (
        f"One run was made of {', '.join(named)}, so it is not known which of these clusters another seed would find; "
        "of Leiden, the key `ensemble` tells."
    )


@dataclass(frozen=True)
class Colored:
    """A column whose cells have a stability: its tree's number, its place among that one's columns, their values."""

    column: str
    tree: int
    level: int
    values: Values

    def codes(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Return for these cells 0 for none, else from 1 to 255 for values from 0 to 1, in 25 steps."""
        values = self.values[rows]
        steps = np.rint(np.nan_to_num(values) * STEPS) * (254 / STEPS)
        return np.where(np.isfinite(values), 1 + np.rint(steps), 0).astype(np.uint8)

    def document(self) -> dict[str, object]:
        """Return what the page says of it as JSON values, as of a covariate of numbers."""
        return {
            "name": f"{self.column}{STABILITY_SUFFIX}", "tree": self.tree, "level": self.level, "low": 0, "high": 1,
            "least": 0, "most": 1, "missing": int(np.isnan(self.values).sum()),
        }  # fmt: skip


def colored(trees: Sequence[Grown], stability: Mapping[str, Values]) -> list[Colored]:
    """Return the columns with a stability of cells, in their order."""
    return [
        Colored(column, number, level, stability[column])
        for number, tree in enumerate(trees)
        for level, column in enumerate(tree.columns)
        if column in stability and np.isfinite(stability[column]).any()
    ]


def _made(tree: Grown, column: str) -> list[Row]:
    """The clusters of a column that were made there, without those that are their parents left whole."""
    return [
        row
        for row, above in zip(tree.clusters, tree.parents, strict=True)
        if row["column"] == column and (above < 0 or not tree.clusters[above]["reason"])
    ]
