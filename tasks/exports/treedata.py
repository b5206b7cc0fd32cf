"""An AnnData with trees, as scverse's treedata reads it: `obst` has the trees of clusters, the cells their leaves.

The package treedata writes the trees; all else is copied block by block, as for any h5ad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cellstrata.tasks.exports.anndata_file import write_anndata
from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported, Level
from cellstrata.tasks.exports.newick import tree_name
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.data_errors import InputError, OutputError
from cellstrata.tasks.stores.places import Place

OF_TREES = ("obst", "vart", "label", "allow_overlap", "alignment")


def tree_of(levels: Sequence[Level], names: Sequence[str], root: str) -> Any:
    """Return a tree of clusters as a networkx DiGraph, from `root` down to the cells, its leaves.

    Nodes of clusters are `column/label`, with the attributes `column`, `cluster`, `level`, `n_cells` and `color`; cells
    go by their names, and those without a label at the first level are in none.
    """
    with IMPORTING:
        import networkx as nx

    tree = nx.DiGraph()
    tree.add_node(root, column="", cluster="all", level=0, n_cells=int((levels[0].codes >= 0).sum()), color="")
    last = np.full(len(names), "", dtype=object)  # the node below which each cell is
    for number, level in enumerate(levels):
        nodes = np.array([f"{level.column}/{label}" for label in level.labels], dtype=object)
        above = [f"{levels[number - 1].column}/{label}" for label in levels[number - 1].labels] if number else []
        counts = level.counts()
        for at, node in enumerate(nodes.tolist()):
            tree.add_node(
                node, column=level.column, cluster=level.labels[at], level=number + 1, n_cells=int(counts[at]),
                color=level.colors[at],
            )  # fmt: skip
            tree.add_edge(above[level.parents[at]] if number else root, node)
        there = level.codes >= 0
        last[there] = nodes[level.codes[there]]
    tree.add_edges_from((node, name) for node, name in zip(last.tolist(), names, strict=True) if node)
    return tree


def _write(found: Exported, place: Place) -> Written:
    with IMPORTING:
        try:
            import treedata
        except ImportError as error:
            message = f"needs treedata, which cannot be imported ({error}): pip install 'cellstrata[treedata]'"
            raise OutputError("", "--to treedata", message) from None
    names = found.names.tolist()
    if len(set(names)) < len(names):
        raise InputError(
            found.record.url, "obs", "has cells of the same name, which are no leaves of a tree; give each its own"
        )
    trees = {tree_name(levels): levels for levels in found.trees()}
    nodes = {
        *trees,
        *(f"{level.column}/{label}" for levels in trees.values() for level in levels for label in level.labels),
    }
    if taken := sorted(nodes & set(names)):
        raise InputError(
            found.record.url, "obs", f"has a cell called {taken[0]!r}, as a cluster of the tree; rename it"
        )

    def finish(made: Path) -> None:
        with IMPORTING:
            import pandas as pd

        # Only the names of the cells: what treedata writes of the rest is left where it is.
        skeleton = treedata.TreeData(
            obs=pd.DataFrame(index=pd.Index(names, dtype=object)), label=None, alignment="leaves", allow_overlap=True,
            obst={name: tree_of(levels, names, name) for name, levels in trees.items()},
        )  # fmt: skip
        beside = made.with_suffix(".h5td")
        skeleton.write_h5td(beside)
        with h5py.File(beside, "r") as source, h5py.File(made, "r+") as file:
            for name in OF_TREES:
                source.copy(name, file)
            file.attrs.update({name: source.attrs[name] for name in ("encoding-type", "encoding-version")})

    every = tuple(dict.fromkeys(level.of for levels in trees.values() for level in levels))
    columns = write_anndata(replace(found, columns=every), place, finish=finish)
    return Written(f"{len(columns)} columns, and the trees {', '.join(trees)} in obst")


FORMAT = Format((".h5td",), "an AnnData with trees, for scverse's treedata", _write)
