"""The trees as the page has them: clusters in depth-first order, each with its parent's number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from natsort import natsorted

from cellstrata.tasks.trees.rows import Row, TreeRows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Grown:
    """One algorithm at one resolution: its columns by level, its clusters depth first, and the split of all cells.

    Of labels that people gave, `algorithm` is their last column, and `resolution` NaN.

    `parents` are positions in `clusters`, -1 at the top. `leaves` (n,) int32 is the position of each
    cell's deepest cluster, -1 where it has none.
    """

    algorithm: str
    resolution: float
    columns: tuple[str, ...]
    clusters: tuple[Row, ...]
    parents: npt.NDArray[np.int32]
    leaves: npt.NDArray[np.int32]
    root: Row | None

    @property
    def name(self) -> str:
        """`leiden 0.5`."""
        return self.algorithm if math.isnan(self.resolution) else f"{self.algorithm} {self.resolution}"

    def ancestors(self, column: str) -> npt.NDArray[np.int32]:
        """Return for each cluster the position of that cluster of a column which it lies in, -1 for those above."""
        found = np.full(len(self.clusters), -1, dtype=np.int32)
        for at, row in enumerate(self.clusters):  # parents come first
            above = self.parents[at]
            found[at] = at if row["column"] == column else found[above] if above >= 0 else -1
        return found

    def splits(self, column: str) -> list[Row]:
        """Return the rows of what was split, or tried to be, into the clusters of a column."""
        level = self.columns.index(column)
        above = [self.root] if not level else [row for row in self.clusters if row["column"] == self.columns[level - 1]]
        return [row for row in above if row is not None and row["key"]]


def grown_trees(rows: TreeRows, labels: Mapping[str, pd.Categorical]) -> list[Grown]:
    """Put the rows of a result together into trees, in the order of its columns.

    `labels` are the columns that were made, each of length n.
    """
    deepest: dict[tuple[str, float], str] = {}
    for name, fact in rows.facts.items():
        tree = fact.base
        if tree is None and fact.level is not None and not any(name == other.above for other in rows.facts.values()):
            tree = (name, math.nan)
        if tree is None:
            continue
        if tree not in deepest or rows.level(name) > rows.level(deepest[tree]):
            deepest[tree] = name
    return [_grown(rows, *tree, column, labels) for tree, column in deepest.items() if column in labels]


def _grown(rows: TreeRows, algorithm: str, resolution: float, last: str, labels: Mapping[str, pd.Categorical]) -> Grown:
    columns = tuple(column for column in rows.above(last) if rows.clusters(column))
    clusters, parents = _depth_first(rows, columns)
    leaves = _places(clusters, last, labels[last])
    for column in reversed(columns[:-1]):  # of labels that people gave, cells may end above the last level
        if (leaves >= 0).all():
            break
        if column in labels:
            leaves = np.where(leaves < 0, _places(clusters, column, labels[column]), leaves)
    root = rows.root(columns[0]) if columns else None
    return Grown(algorithm, resolution, columns, tuple(clusters), parents, leaves, root)


def _places(clusters: Sequence[Row], column: str, labels: pd.Categorical) -> npt.NDArray[np.int32]:
    """Return the position of the cluster of a column which each cell is in, -1 where it is in none."""
    place = {row["cluster"]: at for at, row in enumerate(clusters) if row["column"] == column}
    lookup = np.array([*(place.get(str(label), -1) for label in labels.categories), -1], dtype=np.int32)
    found: npt.NDArray[np.int32] = lookup[labels.codes]
    return found


def _depth_first(rows: TreeRows, columns: Sequence[str]) -> tuple[list[Row], npt.NDArray[np.int32]]:
    below: dict[tuple[int, str], list[Row]] = {}
    for level, column in enumerate(columns):
        for row in rows.clusters(column).values():
            below.setdefault((level, row["parent"] if level else ""), []).append(row)
    found: list[Row] = []
    parents: list[int] = []
    waiting = [(0, row, -1) for row in _last_first(below.get((0, ""), []))]
    while waiting:
        level, row, parent = waiting.pop()
        at = len(found)
        found.append(row)
        parents.append(parent)
        waiting += [(level + 1, child, at) for child in _last_first(below.get((level + 1, row["cluster"]), []))]
    return found, np.array(parents, dtype=np.int32)


def _last_first(rows: list[Row]) -> list[Row]:
    by_label = {row["cluster"]: row for row in rows}
    return [by_label[label] for label in reversed(natsorted(by_label))]


def document(tree: Grown, colors: Sequence[str]) -> dict[str, object]:
    """Return a tree as JSON values: a list for each thing that is said of the clusters, texts by number."""
    reasons = list(dict.fromkeys(row["reason"] for row in tree.clusters))
    engines = list(dict.fromkeys(row["engine"] for row in tree.clusters))
    metrics = list(dict.fromkeys(_graph(row) for row in tree.clusters))
    return {
        "name": tree.name,
        "columns": list(tree.columns),
        "parent": tree.parents.tolist(),
        "label": [row["cluster"] for row in tree.clusters],
        "level": [tree.columns.index(row["column"]) for row in tree.clusters],
        "cells": [int(row["n_cells"]) for row in tree.clusters],
        "children": [int(row["n_children"]) for row in tree.clusters],
        "reasons": reasons,
        "reason": [reasons.index(row["reason"]) for row in tree.clusters],
        "engines": engines,
        "engine": [engines.index(row["engine"]) for row in tree.clusters],
        "graphs": metrics,
        "graph": [metrics.index(_graph(row)) for row in tree.clusters],
        "resolution": [_finite(row["resolution"]) for row in tree.clusters],
        "modularity": [_finite(row["modularity"], 4) for row in tree.clusters],
        "seconds": [_finite(row["seconds"], 4) for row in tree.clusters],
        "cached": [int(row["from_cache"]) for row in tree.clusters],
        **_of_runs(tree.clusters),
        "color": list(colors),
    }


def _of_runs(rows: Sequence[Row]) -> dict[str, object]:
    """What is said of the runs of ensembles, nothing where there was none."""
    if not any(row.get("runs", 0) > 1 or math.isfinite(row.get("stability", math.nan)) for row in rows):
        return {}
    return {
        "stability": [_finite(row["stability"]) for row in rows],
        "runs": [int(row["runs"]) for row in rows],
        "agreement": [_finite(row["agreement"], 3) for row in rows],
    }


def _graph(row: Row) -> str:
    return f"{row['n_neighbors']} neighbours, {row['embedding']}, {row['metric']}" if row["n_neighbors"] else ""


def _finite(value: Any, digits: int = 6) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None
