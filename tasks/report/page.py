"""The page of one dataset: what it tells as HTML, what it draws as packed arrays, all in one text."""

from __future__ import annotations

import json

import numpy as np
from markupsafe import Markup

from cellstrata.tasks.colours.palette import tree_palette
from cellstrata.tasks.evaluation.clustree_edges import clustree_edges
from cellstrata.tasks.evaluation.covariates import Covariate, Numbers
from cellstrata.tasks.kernels.stability import LOW
from cellstrata.tasks.report import cells as shown_cells
from cellstrata.tasks.report.clusters import Grown, grown_trees
from cellstrata.tasks.report.clusters import document as tree_document
from cellstrata.tasks.report.compared import Binned, Compared, agreements, binned, compare
from cellstrata.tasks.report.compared import document as covariate_document
from cellstrata.tasks.report.documents import document, embedded
from cellstrata.tasks.report.dot_plots import dots_document
from cellstrata.tasks.report.evidence import evidence_document, evidence_table, of_one_batch
from cellstrata.tasks.report.markers import markers_table
from cellstrata.tasks.report.packing import packed, smallest
from cellstrata.tasks.report.resolutions import resolutions_of
from cellstrata.tasks.report.stability import Colored, colored, single_runs, unstable
from cellstrata.tasks.report.subject import Subject
from cellstrata.tasks.report.tables import agreement_table, columns_table, reasons_table
from cellstrata.tasks.trees.rows import TreeRows

MOST_BYTES = 9_500_000
SCRIPTS = ("dom", "data", "state", "colors", "plot", "pointer", "labels", "legend", "tree", "detail",
           "sorting", "tables", "composition", "clustree", "dotplot", "theme", "main")  # fmt: skip


def page(subject: Subject, key: str) -> bytes:
    """Return the page as UTF-8; `key` is written at its head. It takes less than 10 MB."""
    trees = grown_trees(TreeRows(subject.tree, subject.facts), subject.labels)
    bins = [binned(covariate) for covariate in subject.covariates]
    compared = [compare(tree, *pair) for tree in trees for pair in zip(subject.covariates, bins, strict=True)]
    genes = [binned(gene) for gene in subject.genes]
    told = _told(subject, trees, compared)
    stable = colored(trees, subject.stability)
    halves = -(-len(stable) // 2)  # of so few values half of a byte is deflated
    room = shown_cells.room_for(len(trees) + len(bins), len(genes) + halves)
    while True:
        facts, arrays = _drawn(subject, trees, bins, genes, stable, compared, room)
        found = document("report.html", key, SCRIPTS, facts=facts, arrays=arrays, **told).encode()
        if len(found) <= MOST_BYTES or room < 1000:
            return found
        room //= 2


def _told(subject: Subject, trees: list[Grown], compared: list[Compared]) -> dict[str, object]:
    """What the template says in words and tables, that is all but the pictures."""
    agreeing = agreements(compared)
    tables = [
        ("columns", "Columns", columns_table(trees, subject.facts) if trees else None),
        ("reasons", "Why clusters were not split", reasons_table(trees) if trees else None),
        ("evidence", "Evidence for splits", evidence_table(trees)),
        ("markers", "Marker genes", markers_table(subject.markers) if subject.markers else None),
        ("agreement", "Agreement with covariates", agreement_table(agreeing) if agreeing else None),
    ]
    return {
        "name": subject.name,
        "notices": subject.notices,
        "resolutions": resolutions_of(subject.advice),
        "named": [found for found in (unstable(trees), of_one_batch(trees)) if found is not None],
        "overview": [*subject.overview, *([("Single runs", alone)] if (alone := single_runs(trees)) else [])],
        "settings": [(name, _shown(value)) for name, value in subject.settings],
        "versions": list(subject.versions.items()),
        "tables": [table for table in tables if table[2] is not None],
    }


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _drawn(
    subject: Subject,
    trees: list[Grown],
    bins: list[Binned],
    genes: list[Binned],
    stable: list[Colored],
    compared: list[Compared],
    room: int,
) -> tuple[Markup, str]:
    """The facts as JSON and the arrays as text."""
    palette = tree_palette(subject.tree, subject.facts)
    arrays: dict[str, np.ndarray] = {}
    view = _view(subject, trees, bins, genes, stable, room, arrays)
    for number, one in enumerate(compared):
        entries = one.entries()
        for part, values in zip(("clusters", "values", "cells"), entries, strict=True):
            arrays[f"counts/{number}/{part}"] = smallest(values, int(values.max(initial=0)))
    dots = dots_document(trees, subject.markers, arrays)
    directory, packed_arrays = packed(arrays)
    facts = {
        "name": subject.name,
        "cells": subject.n_cells,
        "view": view,
        "trees": [tree_document(tree, [palette[row["column"]][row["cluster"]] for row in tree.clusters])
                  | evidence_document(tree.clusters) for tree in trees],
        "covariates": [covariate_document(covariate, found)
                       for covariate, found in zip(subject.covariates, bins, strict=True)],
        "genes": [covariate_document(gene, found) for gene, found in zip(subject.genes, genes, strict=True)],
        "stability": [of.document() for of in stable] if view else [],
        "low": LOW,
        "sums": [None if one.sums is None else [round(float(value), 6) for value in one.sums] for one in compared],
        "edges": _edges(trees),
        "dots": dots,
        "arrays": directory,
    }  # fmt: skip
    return embedded(facts), packed_arrays


def _view(
    subject: Subject,
    trees: list[Grown],
    bins: list[Binned],
    genes: list[Binned],
    stable: list[Colored],
    room: int,
    arrays: dict[str, np.ndarray],
) -> dict[str, object] | None:
    """What is said of the plane, and into `arrays` the places and codes of the cells that are shown."""
    if subject.view is None:
        return None
    points = subject.view.points
    usable = np.asarray(np.isfinite(points).all(axis=1))
    rows = shown_cells.chosen(subject.n_cells, room, [tree.leaves for tree in trees], usable)
    x, y = shown_cells.quantised(points[rows])
    order = shown_cells.near_each_other(x, y)
    rows, x, y = rows[order], x[order], y[order]
    arrays["x"], arrays["y"] = shown_cells.steps_between(x), shown_cells.steps_between(y)
    for number, tree in enumerate(trees):
        arrays[f"tree/{number}"] = smallest(tree.leaves[rows] + 1, len(tree.clusters))
    for number, (covariate, found) in enumerate(zip(subject.covariates, bins, strict=True)):
        arrays[f"covariate/{number}"] = _codes(covariate, found, rows)
    for number, (gene, found) in enumerate(zip(subject.genes, genes, strict=True)):
        arrays[f"gene/{number}"] = _codes(gene, found, rows)
    for number, of in enumerate(stable):
        arrays[f"stability/{number}"] = of.codes(rows)
    return {
        "title": subject.view.title,
        "note": subject.view.note,
        "shown": len(rows),
        "unplaced": int((~usable).sum()),
    }


def _codes(covariate: Covariate, found: Binned, rows: np.ndarray) -> np.ndarray:
    """0 for none; categories from 1; numbers from 1 to 255 between where their bins begin and end."""
    if isinstance(covariate, Numbers):
        values, width = covariate.values[rows], (found.high - found.low) or 1.0
        part = np.clip((values - found.low) / width, 0, 1)
        return np.where(np.isfinite(values), 1 + np.rint(part * 254), 0).astype(np.uint8)
    return smallest(found.codes[rows] + 1, found.n_values)


def _edges(trees: list[Grown]) -> list[list[float]]:
    """How the clusters of level 1 pass into those of the algorithm's next resolution: tree, cluster, tree,
    cluster, cells, share of the first, share of the second; clusters by their positions."""
    found: list[list[float]] = []
    for algorithm in dict.fromkeys(tree.algorithm for tree in trees):
        numbers = [at for at, tree in enumerate(trees) if tree.algorithm == algorithm and tree.columns]
        numbers.sort(key=lambda at: trees[at].resolution)
        codes, labels, places = {}, {}, {}
        for at in numbers:
            tree, column = trees[at], trees[at].columns[0]
            own = [place for place, row in enumerate(tree.clusters) if row["column"] == column]
            lookup = np.full(len(tree.clusters) + 1, -1, np.int32)
            lookup[own] = np.arange(len(own))
            above = np.append(tree.ancestors(column), -1)
            codes[column] = lookup[above[tree.leaves]]
            labels[column] = [tree.clusters[place]["cluster"] for place in own]
            places[column] = {tree.clusters[place]["cluster"]: (at, place) for place in own}
        found += [
            [*places[edge.source_column][edge.source], *places[edge.target_column][edge.target],
             edge.n_cells, round(edge.of_source, 4), round(edge.of_target, 4)]
            for edge in clustree_edges([trees[at].columns[0] for at in numbers], codes, labels)
        ]  # fmt: skip
    return found
