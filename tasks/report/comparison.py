"""The page of a comparison: how two groupings agree, where cells go, and what they share, without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellstrata.tasks.evaluation.compared_results import ComparedPair, ComparedResults
from cellstrata.tasks.evaluation.comparison import LeftOut, Partners
from cellstrata.tasks.evaluation.flow_layout import Arrangement, FlowNode, arranged, flow
from cellstrata.tasks.report.documents import document
from cellstrata.tasks.report.places import shown_place
from cellstrata.tasks.report.tables import Cell, Table

SIDE, WIDE, BAR = 250, 420, 14  # pixels of the names, of the flow, of a group
LEAST, LINE = 340, 17  # pixels of the flow's height, and from one name to the next
LONGEST = 30  # characters of a name in the flow
MOST_ROWS = 400  # of a table of groups
NONE = "–"


@dataclass(frozen=True)
class DrawnNode:
    """A group in the flow: its box, its name and where that stands."""

    y: float
    high: float
    color: str
    name: str
    tip: str
    text_y: float


@dataclass(frozen=True)
class DrawnFlow:
    """The flow as SVG has it: boxes on both sides, and the path, colour and tip of each ribbon."""

    about: str
    left: tuple[DrawnNode, ...]
    right: tuple[DrawnNode, ...]
    ribbons: tuple[tuple[str, str, str], ...]
    height: int
    side: int = SIDE
    wide: int = WIDE
    bar: int = BAR


@dataclass(frozen=True)
class Section:
    """What the page tells of two columns."""

    place: str
    title: str
    numbers: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    flow: DrawnFlow
    shared: Table
    of_first: Table
    of_second: Table


def comparison_page(results: ComparedResults, about: Sequence[tuple[str, str]], notices: Sequence[str] = ()) -> bytes:
    """Return the page as UTF-8: what is compared (`about`), what to know, and a section for each pair of columns."""
    sections = [_section(f"pair-{number}", pair) for number, pair in enumerate(results.pairs)]
    every = _pairs(results.pairs) if len(results.pairs) > 1 else None
    told = [(name, shown_place(value) if "/" in value else value) for name, value in about]
    return document(
        "comparison.html", "", ("dom", "sorting", "theme"),
        title=" · ".join(dict.fromkeys(section.title for section in sections)) if every is None else "Comparison",
        about=told, notices=list(notices), pairs=every, sections=sections,
    ).encode()  # fmt: skip


def _section(place: str, pair: ComparedPair) -> Section:
    comparison, shown = pair.comparison, arranged(pair.comparison)
    found = comparison.agreement
    low, middle, high = comparison.quartiles
    numbers = (
        ("Cells compared", f"{found.n_cells:,}"),
        ("Left out", _left_out(pair, comparison.left_out)),
        ("Adjusted Rand index", f"{found.ari:z.3f}"),
        ("Normalized mutual information", f"{found.nmi:.3f}"),
        ("V-measure", f"{found.v_measure:.3f}"),
        ("Homogeneity", f"{found.homogeneity:.3f}"),
        ("Completeness", f"{found.completeness:.3f}"),
        ("Element-centric similarity", f"{comparison.similarity:.3f}"),
        ("Its quartiles over cells", f"{low:.2f}, {middle:.2f}, {high:.2f}"),
    )
    notes = _notes(shown, pair)
    return Section(
        place, pair.title, numbers, notes, _flow(pair, shown), _shared(pair, shown),
        _partners(pair, comparison.of_first, forward=True), _partners(pair, comparison.of_second, forward=False),
    )  # fmt: skip


def _left_out(pair: ComparedPair, lost: LeftOut) -> str:
    parts = (
        (lost.only_first, f"without a value in {pair.first.title}"),
        (lost.only_second, f"without a value in {pair.second.title}"),
        (lost.both, "without any"),
    )
    return ", ".join(f"{n:,} {what}" for n, what in parts if n) or "no cell"


def _notes(shown: Arrangement, pair: ComparedPair) -> tuple[str, ...]:
    left_out = ((shown.more_rows, pair.first.title), (shown.more_columns, pair.second.title))
    return tuple(
        f"Flow and table show the largest groups; {n:,} smaller ones of {title} are others."
        for n, title in left_out
        if n
    )


def _pairs(pairs: Sequence[ComparedPair]) -> Table:
    names = ("columns", "cells", "ARI", "NMI", "homogeneity", "completeness", "element-centric similarity")
    rows = []
    for pair in pairs:
        found = pair.comparison.agreement
        values = (found.ari, found.nmi, found.homogeneity, found.completeness, pair.comparison.similarity)
        cells = [Cell(f"{value:z.3f}", round(value, 6), max(0.0, value)) for value in values]
        rows.append([Cell(pair.title), _count(found.n_cells), *cells])
    return Table("Pairs of columns", names, rows)


def _shared(pair: ComparedPair, shown: Arrangement) -> Table:
    """The contingency table, shaded by the Jaccard index; groups that belong together are near the diagonal."""
    comparison = pair.comparison
    table = comparison.table
    there = np.isin(table.rows, shown.rows) & np.isin(table.columns, shown.columns)
    pairs = zip(table.rows[there].tolist(), table.columns[there].tolist(), strict=True)
    values = zip(table.counts[there].tolist(), table.jaccard[there].tolist(), strict=True)
    counts = dict(zip(pairs, values, strict=True))
    rows = [
        [
            Cell(comparison.first.labels[row]),
            *(Cell(f"{n:,}" if n else "", n, round(index, 3)) for n, index in
              (counts.get((int(row), int(column)), (0, 0.0)) for column in shown.columns)),
            _count(int(table.row_sizes[row])),
        ]
        for row in shown.rows
    ]  # fmt: skip
    names = (pair.first.title, *(comparison.second.labels[column] for column in shown.columns), "cells")
    caption = f"Cells of {pair.first.title} (rows) in {pair.second.title} (columns), shaded by the Jaccard index"
    return Table(caption, names, rows)


def _partners(pair: ComparedPair, of: Partners, *, forward: bool) -> Table:
    own, other = (pair.comparison.first, pair.comparison.second)[:: 1 if forward else -1]
    title, other_title = (pair.first.title, pair.second.title)[:: 1 if forward else -1]
    lost = bool((of.every > of.sizes).any())
    rows = []
    for at in range(min(len(own.labels), MOST_ROWS)):
        best, similarity = int(of.best[at]), float(of.similarity[at])
        rows.append([
            Cell(own.labels[at]), _count(int(of.every[at])), *([_count(int(of.every[at] - of.sizes[at]))] * lost),
            Cell(other.labels[best] if best >= 0 else NONE), _count(int(of.shared[at])),
            Cell(f"{of.jaccard[at]:.3f}", round(float(of.jaccard[at]), 6), float(of.jaccard[at])),
            Cell(NONE, -1) if math.isnan(similarity) else Cell(f"{similarity:.3f}", round(similarity, 6), similarity),
        ])  # fmt: skip
    names = (title, "cells", *(["left out"] * lost), f"best of {other_title}", "cells of both", "Jaccard",
             "element-centric similarity")  # fmt: skip
    more = f"; the first {MOST_ROWS} of {len(own.labels):,}" if len(own.labels) > MOST_ROWS else ""
    return Table(f"What the groups of {title} are in {other_title}{more}", names, rows)


def _flow(pair: ComparedPair, shown: Arrangement) -> DrawnFlow:
    height = max(LEAST, LINE * (max(len(shown.rows), len(shown.columns)) + 3) * 5 // 4)
    laid = flow(pair.comparison, shown, LINE / height)
    start, end = float(SIDE + BAR), float(SIDE + WIDE - BAR)
    middle = (start + end) / 2
    ribbons = []
    for one in laid.ribbons:
        a, b, c, d = (round(height * y, 1) for y in (one.left_top, one.right_top, one.right_bottom, one.left_bottom))
        path = (
            f"M{start} {a}C{middle} {a} {middle} {b} {end} {b}L{end} {c}C{middle} {c} {middle} {d} {start} {d}Z"
        )  # fmt: skip
        left, right = laid.left[one.left], laid.right[one.right]
        ribbons.append((path, left.color, f"{left.label} → {right.label}: {one.n_cells:,} cells"))
    about = f"How the groups of {pair.first.title}, left, flow into those of {pair.second.title}, right"
    return DrawnFlow(about, _drawn(laid.left, height), _drawn(laid.right, height), tuple(ribbons), height)


def _drawn(nodes: Sequence[FlowNode], height: int) -> tuple[DrawnNode, ...]:
    return tuple(
        DrawnNode(
            round(height * node.top, 1), max(round(height * (node.bottom - node.top), 1), 0.5), node.color,
            f"{_shortened(node.label)} · {node.n_cells:,}", f"{node.label}: {node.n_cells:,} cells",
            round(height * (node.top + node.bottom) / 2 + 4, 1),
        )
        for node in nodes
    )  # fmt: skip


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _count(n: int) -> Cell:
    return Cell(f"{n:,}", n)
