"""How far its runs have the cluster of each cell, for every column: from the splits that made it, or from a result."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.elements.reading import Root, n_obs, obsm_shapes, read_obsm
from cellstrata.tasks.results.record import ResultRecord
from cellstrata.tasks.trees.labels import STABILITY, column_name
from cellstrata.tasks.trees.split import find_split
from cellstrata.tasks.trees.tree import Tree

Values = npt.NDArray[np.float32]


def cell_stability(trees: tuple[Tree, ...], cache: Cache) -> dict[str, Values]:
    """Return an array for each column that an ensemble had a part in, (n,) float32 from 0 to 1.

    At deeper levels it is of the cell's own split, and where that cluster was left whole of the last split above.
    NaN is for cells without a label, and for splits that were a single run.

    Raises
    ------
    DamagedEntry
        If a split is gone from the cache since the run began.
    """
    found: dict[str, Values] = {}
    for tree in trees:
        if not any(outcome.facts and outcome.facts.runs for outcome in tree.outcomes.values()):
            continue
        values = np.full(tree.plan.n_cells, np.nan, np.float32)
        for level in tree.levels:
            values = _of_level(tree, level, values, cache)
            found[column_name(tree.plan.algorithm, tree.plan.resolution, level)] = values
    return found


def read_stability(record: ResultRecord, root: Root) -> dict[str, Values]:
    """Return what `cell_stability` found of a result, read from its obsm; empty where it has none, or another shape.

    Raises
    ------
    DataError
        If the entry is there and cannot be read.
    """
    names = json.loads(record.texts.get("stability", "[]"))
    if obsm_shapes(root).get(STABILITY) != (n_obs(root), len(names)):
        return {}
    return dict(zip(names, read_obsm(root, STABILITY).T, strict=True))


def _of_level(tree: Tree, level: int, above: Values, cache: Cache) -> Values:
    """Lay what the splits of a level found over the values of the level above."""
    values = above.copy()
    parents = sorted({leaf[: level - 1] for leaf in tree.leaves})
    index = {path: number for number, path in enumerate(parents)}
    parent = np.array([*(index[leaf[: level - 1]] for leaf in tree.leaves), -1], np.int32)[tree.codes]
    cells = np.argsort(parent, kind="stable")
    starts = np.searchsorted(parent[cells], np.arange(len(parents) + 1))
    for number, path in enumerate(parents):
        outcome = tree.outcomes.get(path)
        if outcome is None or outcome.facts is None or outcome.key is None or outcome.judged.reason:
            continue  # it was left whole
        own = cells[starts[number] : starts[number + 1]]
        values[own] = np.nan if outcome.facts.runs is None else _of_split(outcome.key, cache)
    return values


def _of_split(key: str, cache: Cache) -> Values:
    split = find_split(cache, key)
    values = None if split is None else split.stability(cache)
    if values is None:
        raise DamagedEntry(f"the split {key} in {cache.store.url} is gone since the run began; run again")
    return values
