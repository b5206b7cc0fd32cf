"""The ids of grown trees after an earlier result: their clusters are called otherwise, and nothing is split anew."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cellstrata.tasks.matching.earlier import SharedCells, carried_ids
from cellstrata.tasks.matching.ids import Level, LevelIds, match_levels
from cellstrata.tasks.trees.ids import Kinship, Match, TreeIds
from cellstrata.tasks.trees.labels import Path, column_name
from cellstrata.tasks.trees.tree import Tree


def match_trees(trees: Sequence[Tree], earlier: SharedCells) -> tuple[list[Tree], Match]:
    """Return trees with the ids of an earlier result, and what is said of that.

    Their outcomes, leaves and codes are the same objects: paths stay those by size, under which the cache has them.
    """
    found = [with_ids(tree, _ids(tree, earlier)) for tree in trees]
    made = {column for tree in found if tree.ids is not None for column in tree.ids.retired}
    return found, replace(earlier.match, carried=carried_ids(earlier, made))


def with_ids(tree: Tree, ids: TreeIds) -> Tree:
    """Return the same tree with other ids."""
    found = copy.copy(tree)  # `dataclasses.replace` would begin it anew
    found.ids = ids
    return found


def _ids(tree: Tree, earlier: SharedCells) -> TreeIds:
    paths = [sorted({leaf[:level] for leaf in tree.leaves}) for level in range(1, tree.plan.depth + 1)]
    columns = [_column(tree, level) for level in range(1, tree.plan.depth + 1)]
    first = 0 if tree.given is None else tree.given.level - 1
    levels = [
        _level(tree, columns[at], paths[at], columns[at - 1] if at > first else "", earlier.rows)
        for at in range(first, tree.plan.depth)
    ]
    found = match_levels(levels, earlier.levels, earlier.retired)
    numbers: dict[Path, Path] = {}
    kin: dict[Path, Kinship] = {}
    for column, of_level in zip(columns[first:], paths[first:], strict=True):
        own = found[column]
        for path in of_level:
            label = tree.label(path)
            kin[path] = own.kin[label]
            numbers[path] = path if len(path) <= first + bool(tree.given) else _number(own, label, numbers, path)
    retired = {column: of.retired for column, of in found.items()}
    if tree.given is not None:
        retired[tree.given.column] = ()  # it came with the input and stays as it is
    return TreeIds(numbers=numbers, kin=kin, retired=retired)


def _number(own: LevelIds, label: str, numbers: dict[Path, Path], path: Path) -> Path:
    above = numbers.get(path[:-1], path[:-1])
    return (*above, int(own.labels[label].rpartition("_")[2]))


def _column(tree: Tree, level: int) -> str:
    if tree.given is not None and level == tree.given.level:
        return tree.given.column
    return column_name(tree.plan.algorithm, tree.plan.resolution, level)


def _level(tree: Tree, column: str, paths: Sequence[Path], above: str, rows: np.ndarray) -> Level:
    level = len(paths[0]) if paths else 0
    index = {path: at for at, path in enumerate(paths)}
    lookup = np.array([*(index[leaf[:level]] for leaf in tree.leaves), -1], np.int32)  # -1 finds the last
    labels = tuple(map(tree.label, paths))
    parents = tuple(tree.parent_label(path) for path in paths)
    fixed = tree.given is not None and level == tree.given.level
    return Level(column, lookup[tree.codes[rows]], labels, parents, above, fixed)
