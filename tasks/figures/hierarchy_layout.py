"""Where a tree's clusters stand: a line each, families together, in as many columns as a page needs. No matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellstrata.tasks.trees.rows import TreeRows

FEWEST_ROWS = 24  # of a column of the page
ROWS = 3.5  # times the root of the number of clusters: the page becomes about as wide as a screen


@dataclass
class Branch:
    """A cluster, and those of the next level that it was split into; of an only child, its children.

    `stopped` says why it was split no further, empty at the last level. `stability` is None for a single run, and
    `replicability`, of the split that was tried of it, where no evidence was gathered.
    """

    label: str
    column: str
    level: int
    n_cells: int
    stopped: str = ""
    stability: float | None = None
    replicability: float | None = None
    children: list[Branch] = field(default_factory=list)

    def count(self) -> int:
        """How many clusters stand here, with all below."""
        return 1 + sum(child.count() for child in self.children)


@dataclass(frozen=True)
class Line:
    """A cluster at row `row` of page column `page`; `parent_row` is where its parent stands, None for a first."""

    branch: Branch
    page: int
    row: int
    parent_row: int | None


def branches(rows: TreeRows, columns: list[str]) -> list[Branch]:
    """Return the clusters of the first of these columns, of one tree and from the top, with those below."""
    below: dict[str, dict[str, list[Mapping[str, object]]]] = {}
    for column in columns[1:]:
        families: dict[str, list[Mapping[str, object]]] = {}
        for row in rows.clusters(column).values():
            families.setdefault(str(row["parent"]), []).append(row)
        below[column] = families

    def grow(row: Mapping[str, Any], depth: int) -> Branch:
        found = Branch(str(row["cluster"]), columns[depth], depth + 1, int(row["n_cells"]))
        found.stability = float(row["stability"]) if math.isfinite(row["stability"]) else None
        reason, tried = str(row["reason"] or ""), [row["replicability"]]
        while depth + 1 < len(columns):  # past only children, down to where it was split or ends
            children = below[columns[depth + 1]].get(str(row["cluster"]), [])
            if len(children) != 1:
                found.children = [grow(child, depth + 1) for child in children]
                break
            (row,), depth = children, depth + 1
            tried.append(row["replicability"])
        found.replicability = next((float(value) for value in reversed(tried) if math.isfinite(value)), None)
        if not found.children and reason != "last level":
            found.stopped = reason.partition(":")[0]
        return found

    return [grow(row, 0) for row in rows.clusters(columns[0]).values()]


def lay_out(top: list[Branch]) -> list[Line]:
    """Give each cluster a line. A family of level 1 begins a new column of the page where it finds no room.

    One that is larger than a column goes on in the next.
    """
    total = sum(branch.count() for branch in top)
    most_rows = max(FEWEST_ROWS, round(ROWS * total**0.5))
    pages = max(1, -(-total // most_rows))
    target = -(-total // pages)
    lines: list[Line] = []
    page, row = 0, 0
    for branch in top:
        size = branch.count()
        if row and row + size > max(target, 12) * 1.12:
            page, row = page + 1, 0
        page, row = _place(branch, page, row, None, lines, max(most_rows, 12))
    return lines


def _place(
    branch: Branch, page: int, row: int, parent_row: int | None, lines: list[Line], most: int
) -> tuple[int, int]:
    if row >= most * 1.15:
        page, row, parent_row = page + 1, 0, None
    lines.append(Line(branch, page, row, parent_row))
    own, own_page, row = row, page, row + 1
    for child in branch.children:
        page, row = _place(child, page, row, own if page == own_page else None, lines, most)
    return page, row
