"""Trees of clusters as the path of each cell, for the tests of ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from cellstrata.tasks.matching.ids import Level, LevelIds, match_levels
from cellstrata.tasks.trees.labels import Path, label_of

COLUMNS = ("leiden_0.5_1", "leiden_0.5_2")
Retired = Mapping[str, Sequence[str]]


def by_size(cells: Sequence[Path]) -> list[Path]:
    """Number clusters by size within their parents, ties by their old numbers, as cellstrata does."""
    named: dict[Path, Path] = {(): ()}
    for level in (1, 2):
        sizes = Counter(path[:level] for path in cells)
        for parent in list(named):
            below = [path for path in sizes if path[:-1] == parent and len(path) == level]
            order = sorted(below, key=lambda path: (-sizes[path], path))
            named |= {path: (*named[parent], number) for number, path in enumerate(order)}
    return [named[path] for path in cells]


def levels(cells: Sequence[Path]) -> list[Level]:
    """Return both levels of some cells, labels in the order of their paths."""
    found = []
    for level, column in enumerate(COLUMNS, 1):
        paths = sorted({path[:level] for path in cells})
        codes = np.array([paths.index(path[:level]) for path in cells], np.int32)
        parents = tuple(label_of(path[:-1]) if level > 1 else "" for path in paths)
        found.append(Level(column, codes, tuple(map(label_of, paths)), parents, COLUMNS[0] if level > 1 else ""))
    return found


def matched(
    new: Mapping[str, Path], earlier: Mapping[str, Path], retired: Retired | None = None
) -> tuple[dict[str, Path], dict[str, LevelIds]]:
    """Match cells by their names; returns their paths under the ids that they get, and what is known of the ids."""
    shared = [name for name in new if name in earlier]
    # Clusters of which no cell is shared are there all the same.
    theirs = {level.column: level for level in levels(list(earlier.values()))}
    names = list(earlier)
    rows = np.array([names.index(name) for name in shared], int)
    theirs = {c: Level(c, of.codes[rows], of.labels, of.parents, of.above) for c, of in theirs.items()}
    ours = levels(list(new.values()))
    own = list(new)
    places = np.array([own.index(name) for name in shared], int)
    found = match_levels(
        [Level(of.column, of.codes[places], of.labels, of.parents, of.above) for of in ours], theirs, retired or {}
    )
    labels = found[COLUMNS[1]].labels
    return {name: tuple(map(int, labels[label_of(path)].split("_"))) for name, path in new.items()}, found
