"""The rows of a result's tree, and how they hang together: the column above, a cluster's parent and siblings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.trees.column_facts import ColumnFacts
from cellstrata.tasks.trees.labels import column_name

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]


class TreeRows:
    """The clusters of a result by their columns and labels; rows are as `tree_table` makes them.

    `facts` are those of `column_facts`, by the columns that were made here.
    """

    def __init__(self, tree: pd.DataFrame, facts: Mapping[str, ColumnFacts]) -> None:
        self.facts = facts
        self._columns: dict[str, dict[str, Row]] = defaultdict(dict)
        self._roots: dict[str, Row] = {}
        for each in tree.to_dict("records"):
            row = {str(name): value for name, value in each.items()}
            if row["level"]:
                self._columns[row["column"]][row["cluster"]] = row
            else:
                self._roots[row["column"]] = row

    def clusters(self, column: str) -> Mapping[str, Row]:
        """Return the clusters of a column by their labels, none for an unknown one."""
        return self._columns.get(column, {})

    def level(self, column: str) -> int:
        """Return the level of a column, 0 for one without clusters."""
        return next((int(row["level"]) for row in self.clusters(column).values()), 0)

    def root(self, column: str) -> Row | None:
        """Return the row of all cells, of a column of level 1; None where it came with the input."""
        return self._roots.get(column)

    def above(self, column: str) -> list[str]:
        """Return the columns from level 1, or the first that is recorded, to this one, which comes last."""
        names, nothing = [column], ColumnFacts()
        facts = self.facts.get(column, nothing)
        for level in range(self.level(column) - 1, 0, -1):
            own = self.facts.get(names[0], nothing)
            base = own.base or facts.base
            standard = own.above or ("" if base is None else column_name(*base, level))
            known = own != nothing
            there = [standard] if self.level(standard) == level else self._same_cells(names[0], level) if known else []
            if len(there) != 1:
                break
            names.insert(0, there[0])
        return names

    def siblings(self, row: Row) -> list[Row]:
        """Return the clusters of the same parent, itself among them."""
        return [other for other in self.clusters(row["column"]).values() if other["parent"] == row["parent"]]

    def _same_cells(self, column: str, level: int) -> list[str]:
        """The columns of a level, whatever they are called, whose clusters have the cells of those below."""
        below: Counter[str] = Counter()
        for row in self.clusters(column).values():
            below[row["parent"]] += int(row["n_cells"])
        sizes = {
            name: {label: row["n_cells"] for label, row in rows.items()}
            for name, rows in self._columns.items()
            if self.level(name) == level
        }
        return [name for name, of in sizes.items() if all(of.get(label) == n for label, n in below.items())]
