"""The evidence for splits as a page tells it: a table of them, and the clusters whose cells come from one batch."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cellstrata.tasks.evaluation.composition import ALMOST_ALL
from cellstrata.tasks.report.clusters import Grown
from cellstrata.tasks.report.named_clusters import NamedClusters, listed
from cellstrata.tasks.report.tables import Cell, Table
from cellstrata.tasks.trees.rows import Row

Spread = Mapping[str, Mapping[str, Any]]


def evidence_table(trees: Sequence[Grown]) -> Table | None:
    """Return a table of the splits for which evidence was gathered, None without any."""
    genes = any(row.get("children_markers") for tree in trees for row in _tried(tree))
    names = (
        "tree",
        "cluster",
        "cells",
        "children",
        "replicability",
        "of a cloud",
        "p",
        *(["markers"] if genes else []),
    )
    rows = [_split(tree, row, genes=genes) for tree in trees for row in _tried(tree)]
    caption = (
        "Evidence for splits. Replicability: halves of the cells, clustered apart, agree with this adjusted Rand "
        "index; beside it that of clouds without groups that have the same mean and covariance, and how likely one of "
        "these would do as well (p)."
    )
    if genes:
        caption += (
            " Markers: the genes that each child has over the sister that is most alike, as the rule to stop by counts "
            "them."
        )
    return Table(caption, (*names, "why not split"), rows) if rows else None


def of_one_batch(trees: Sequence[Grown]) -> NamedClusters | None:
    """Return which clusters have nearly all cells from one group of a batch column, None without any.

    A column of which all cells have one group says nothing.
    """
    which: list[tuple[str, str]] = []
    number = 0
    for tree in trees:
        for column in tree.columns:
            spreads = {str(row["cluster"]): _spread(row) for row in tree.clusters if row["column"] == column}
            told = _told(spreads.values())
            named = [f"{cluster} ({of})" for cluster, spread in spreads.items() for of in _of_one(spread, told)]
            number += len(named)
            if named:
                which.append((column, listed(named)))
    if not number:
        return None
    said = f"{number:,} time{'s'[: number != 1]} nearly all cells of a cluster are from one batch or donor."
    return NamedClusters("one-batch", said, tuple(which))


def evidence_document(rows: Sequence[Row]) -> dict[str, object]:
    """Return what the page says of clusters' evidence, a list for each thing; nothing where none was gathered."""
    told: list[str] = []
    for names in (("replicability", "expected", "p", "purity", "separation"), ("markers",)):
        if any(math.isfinite(_number(row, name)) for row in rows for name in names):
            told += names
    return {name: [_rounded(_number(row, name)) for row in rows] for name in told}


def _tried(tree: Grown) -> Iterator[Row]:
    rows = [*([tree.root] if tree.root is not None else []), *tree.clusters]
    return (row for row in rows if math.isfinite(_number(row, "replicability")) or row.get("children_markers"))


def _split(tree: Grown, row: Row, *, genes: bool) -> list[Cell]:
    markers = str(row.get("children_markers") or "")
    fewest = sorted(map(int, markers.split(", ")), reverse=True)[1] if ", " in markers else 0
    found, expected, p = (_number(row, name) for name in ("replicability", "expected", "p"))
    return [
        Cell(tree.name),
        Cell(str(row["cluster"])),
        Cell(f"{int(row['n_cells']):,}", int(row["n_cells"])),
        Cell(f"{int(row['n_children']):,}", int(row["n_children"])),
        Cell(f"{found:z.2f}", round(found, 4), max(found, 0.0)) if math.isfinite(found) else Cell("", 0.0),
        Cell(
            f"{expected:z.2f}" if math.isfinite(expected) else "", round(expected, 4) if expected == expected else 0.0
        ),
        Cell(f"{p:.1g}" if math.isfinite(p) else "", p if math.isfinite(p) else 1.0),
        *([Cell(markers, fewest)] if genes else []),
        Cell(str(row["reason"]), str(row["reason"])),
    ]


def _told(spreads: Iterable[Spread]) -> set[str]:
    """The batch columns of which clusters have more than one group as their largest, or share their cells."""
    seen: dict[str, set[object]] = {}
    mixed: set[str] = set()
    for spread in spreads:
        for key, own in spread.items():
            seen.setdefault(key, set()).add(own["of"])
            if float(own["largest"]) < ALMOST_ALL:
                mixed.add(key)
    return mixed | {key for key, groups in seen.items() if len(groups) > 1}


def _of_one(spread: Spread, told: Collection[str]) -> Iterator[str]:
    for key, own in spread.items():
        if key in told and float(own["largest"]) >= ALMOST_ALL:
            yield f"{key} {own['of']}: {float(own['largest']):.0%}"


def _spread(row: Row) -> Spread:
    text = row.get("batches") or ""
    found = json.loads(str(text)) if text else {}
    return found if isinstance(found, dict) else {}


def _number(row: Row, name: str) -> float:
    return float(row.get(name, math.nan))


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
