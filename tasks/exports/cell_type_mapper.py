"""The taxonomy of cell_type_mapper (MapMyCells of the Allen Institute), as JSON that its `TaxonomyTree` reads.

The form is that of its docs/input_data_files/taxonomy_tree.md: `hierarchy` lists the levels, and each level has the
children of its nodes, the last one the rows of each in the result. Every node has children or cells, as the mapper
expects: a label without any at the level below stands there once more, for the cells that end with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported, Level, one_tree
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place

TAKEN = ("hierarchy", "metadata", "hierarchy_mapper", "name_mapper")


@dataclass(frozen=True)
class _Node:
    label: str
    parent: str
    cells: np.ndarray


def taxonomy(levels: Sequence[Level]) -> dict[str, Any]:
    """Return the taxonomy of a tree.

    Cells that end above the last level are in a node of their label, `T cell`, or `T cell (other)` where that has
    children too; cells without a label at the first level are in none.
    """
    nodes: list[list[_Node]] = []
    for number, level in enumerate(levels):
        own = [
            _Node(label, levels[number - 1].labels[parent] if number else "", cells)
            for label, parent, cells in zip(level.labels, level.parents.tolist(), _cells(level), strict=True)
        ]
        nodes.append([*own, *(_ending(nodes[-1], own) if number else [])])
    found: dict[str, Any] = {
        "metadata": {"factory": "cellstrata", "version": installed_version("cellstrata") or ""},
        "hierarchy": [level.column for level in levels],
    }
    for number, level in enumerate(levels):
        if number + 1 == len(levels):
            found[level.column] = {node.label: node.cells.tolist() for node in nodes[number]}
        else:
            children: dict[str, list[str]] = {node.label: [] for node in nodes[number]}
            for node in nodes[number + 1]:
                children[node.parent].append(node.label)
            found[level.column] = children
    return found


def _cells(level: Level) -> list[np.ndarray]:
    """Return the rows of each label, ascending."""
    order = np.argsort(level.codes, kind="stable")
    ends = np.cumsum(np.r_[np.count_nonzero(level.codes < 0), level.counts()])
    return np.split(order, ends)[1:-1]


def _ending(above: Sequence[_Node], own: Sequence[_Node]) -> list[_Node]:
    """Return nodes for the cells of each label above that have no label of their own at this level."""
    taken = {node.label for node in own}
    found = []
    for node in above:
        children = [child for child in own if child.parent == node.label]
        within = np.concatenate([child.cells for child in children]) if children else np.empty(0, np.int64)
        left = np.setdiff1d(node.cells, within, assume_unique=True)
        if len(left):
            label = node.label if node.label not in taken and not children else f"{node.label} (other)"
            while label in taken:
                label += " (other)"
            taken.add(label)
            found.append(_Node(label, node.label, left))
    return found


def _write(found: Exported, place: Place) -> Written:
    levels = one_tree(found, "cell_type_mapper")
    if wrong := [level.column for level in levels if level.column in TAKEN]:
        message = "is a word of its own in the taxonomy; rename the column"
        raise InputError(found.record.url, f"obs[{wrong[0]!r}]", message)
    document = taxonomy(levels)
    mapper = _names(found, levels)
    found.check_unchanged()
    place.store.write(
        "", json.dumps(document | ({"name_mapper": mapper} if mapper else {}), ensure_ascii=False).encode()
    )
    return Written(f"a taxonomy of {', '.join(document['hierarchy'])}")


def _names(found: Exported, levels: Sequence[Level]) -> dict[str, dict[str, dict[str, str]]]:
    """Return the names of clusters that stand by their ids."""
    mapper = {}
    for level in levels:
        groups = found.groups.get(level.of, ()) if level.column == level.of else ()
        named = {label: one.name for one in groups for label in one.clusters}
        if named:
            mapper[level.column] = {label: {"name": named.get(label, label)} for label in level.labels}
    return mapper


FORMAT = Format((".json",), "a taxonomy for cell_type_mapper (MapMyCells)", _write)
