"""Trees of clusters as a Newick text, https://phylipweb.github.io/phylip/newicktree.html: a tree a line.

A line ends with the name of the tree, that of its root. An only child stands for its parent, with the length of both,
since many readers know no node with one child. So each tip is as far from the root as it has levels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported, Level
from cellstrata.tasks.stores.places import Place

# Labels of such characters stand as they are. The format has blanks for underscores of bare labels, which ape, ete3,
# Biopython and iTOL leave as they are; in quotes ape would keep the quotes.
_BARE = re.compile(r"[A-Za-z0-9_.+-]+")


def newick(levels: Sequence[Level], name: str) -> str:
    """Return a tree from its first level to its last, in which each label stands for its cells."""
    children = [_children(level) for level in levels]

    def node(depth: int, label: int) -> str:
        length = 1
        below = children[depth + 1].get(label, []) if depth + 1 < len(levels) else []
        while len(below) == 1:
            (label,), depth, length = below, depth + 1, length + 1
            below = children[depth + 1].get(label, []) if depth + 1 < len(levels) else []
        inner = f"({','.join(node(depth + 1, child) for child in below)})" if below else ""
        return f"{inner}{quoted(levels[depth].labels[label])}:{length}"

    top = ",".join(node(0, label) for label in range(len(levels[0].labels)))
    return f"({top}){quoted(name)};"


def quoted(label: str) -> str:
    """Return a label as Newick has it: bare, or in single quotes, one within doubled."""
    return label if _BARE.fullmatch(label) else "'" + " ".join(label.split()).replace("'", "''") + "'"


def tree_name(levels: Sequence[Level]) -> str:
    """Return what a tree is called: `leiden_0.5` of `leiden_0.5_2`, else the name of its last column."""
    last = levels[-1].of
    base, _, level = last.rpartition("_")
    return base if base and level == str(len(levels)) else last


def _children(level: Level) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for label, parent in enumerate(level.parents.tolist()):
        found.setdefault(parent, []).append(label)
    return found


def _write(found: Exported, place: Place) -> Written:
    trees = found.trees()
    lines = [newick(levels, tree_name(levels)) + "\n" for levels in trees]
    found.check_unchanged()
    place.store.write("", "".join(lines).encode())
    names = ", ".join(tree_name(levels) for levels in trees)
    return Written(f"{len(trees)} tree{'s'[: len(trees) != 1]}: {names}")


FORMAT = Format((".nwk", ".newick", ".tree"), "trees as plain text, for R's ape, iTOL and others", _write)
