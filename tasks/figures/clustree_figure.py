"""Level 1 at all resolutions, and how cells pass from the clusters of one to those of the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellstrata.tasks.evaluation.clustree_edges import Edge, clustree_edges
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.figures.sheet import BODY, FAINT, HEADING, INK, SMALL, Sheet, text_size
from cellstrata.tasks.imports.turns import IMPORTING

ROW = 150  # pixels between two resolutions
LEAST = 0.03  # an edge with a smaller share of both its clusters is left out
SPACE = 58  # pixels between two clusters
SWEEPS = 8


def clustree(columns: Sequence[Categories], names: Sequence[str], title: str, about: str) -> Sheet:
    """Draw a row for each column, the coarsest first, and the cells that pass down; `names` stand beside rows."""
    edges = clustree_edges(
        [of.name for of in columns], {of.name: of.codes for of in columns}, {of.name: of.labels for of in columns}
    )
    edges = [edge for edge in edges if max(edge.of_source, edge.of_target) >= LEAST]
    widest = max(len(of.labels) for of in columns)
    left = 16 + max(text_size(name, BODY)[0] for name in names) + 30
    space = SPACE if widest <= 60 else max(30.0, 3000 / widest)
    width = max(widest * space, 560.0)
    sheet = Sheet(left + width + 150, HEADING + ROW * (len(columns) - 1) + 120)
    axes = sheet.axes(left, HEADING, width, ROW * (len(columns) - 1) + 110, plain=True)
    places = _places(columns, edges, width, space)
    largest = max(int(of.counts().max(initial=1)) for of in columns)
    for edge in sorted(edges, key=lambda edge: edge.of_source):
        _edge(axes, places[edge.source_column, edge.source], places[edge.target_column, edge.target], edge, largest)
    for row, (of, name) in enumerate(zip(columns, names, strict=True)):
        y = 44 + row * ROW
        axes.text(-left + 16, y, name, fontsize=BODY, color=INK, va="center_baseline", parse_math=False)
        for label, n in zip(of.labels, of.counts(), strict=True):
            x, _ = places[of.name, label]
            room = space * 0.92
            size = float(np.clip(room * np.sqrt(n / largest), 16, room))
            axes.scatter(
                x, y, s=(size * 72 / 150) ** 2, color=of.colors[label], edgecolor="white", linewidth=1, zorder=3
            )
            wide = text_size(label, SMALL, "bold")[0]
            inside, beside = size > wide + 6, size / 2 + 4 + wide + 4 < space - size / 2
            axes.text(
                x + size / 2 + 4 if beside and not inside else x, y if inside or beside else y - size / 2 - 9, label,
                ha="left" if beside and not inside else "center", fontsize=SMALL, weight="bold", zorder=4,
                va="center_baseline", color=INK, parse_math=False, path_effects=_outline(),
            )  # fmt: skip
    _key(sheet, left + width + 10, HEADING + 30)
    sheet.heading(title, about)
    return sheet


def _places(
    columns: Sequence[Categories], edges: Sequence[Edge], width: float, space: float
) -> Mapping[tuple[str, str], tuple[float, float]]:
    """Order each row by where its clusters' cells come from and go to (barycentres), so that few edges cross."""
    order = {of.name: list(of.labels) for of in columns}
    down: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    up: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in edges:
        down[edge.source_column, edge.source].append(edge)
        up[edge.target_column, edge.target].append(edge)

    def rank() -> dict[tuple[str, str], float]:
        return {(name, label): i / len(labels) for name, labels in order.items() for i, label in enumerate(labels)}

    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for of in columns[1:] if forward else columns[-2::-1]:
            at = rank()

            middles = {}
            for label in order[of.name]:
                near = up[of.name, label] if forward else down[of.name, label]
                total = sum(edge.n_cells for edge in near)
                ends = [(e.source_column, e.source) if forward else (e.target_column, e.target) for e in near]
                weighed = sum(edge.n_cells * at[end] for edge, end in zip(near, ends, strict=True))
                middles[label] = weighed / total if total else at[of.name, label]
            order[of.name].sort(key=middles.__getitem__)
    found = {}
    for row, of in enumerate(columns):
        step = min(width / len(of.labels), 2.2 * space)
        start = width / 2 - step * (len(of.labels) - 1) / 2
        for number, label in enumerate(order[of.name]):
            found[of.name, label] = (start + number * step, 44.0 + row * ROW)
    return found


def _edge(axes: Any, start: tuple[float, float], end: tuple[float, float], edge: Edge, largest: int) -> None:
    with IMPORTING:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

    (x0, y0), (x1, y1) = start, end
    half = (y1 - y0) / 2
    path = Path([(x0, y0), (x0, y0 + half), (x1, y1 - half), (x1, y1)], [1, 4, 4, 4])
    width = 0.4 + 9.0 * np.sqrt(edge.n_cells / largest)
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=shade(edge.of_source), linewidth=width, zorder=1))


def shade(share: float) -> tuple[float, float, float]:
    """Return an edge's colour: the darker, the larger a share of the parent's cells it is."""
    pale, dark = np.array([0.90, 0.91, 0.93]), np.array([0.16, 0.22, 0.34])
    mixed = pale + (dark - pale) * share
    return float(mixed[0]), float(mixed[1]), float(mixed[2])


def _key(sheet: Sheet, left: float, top: float) -> None:
    axes = sheet.axes(left, top, 130, 120, plain=True)
    axes.text(0, 0, "share of the\nparent's cells", fontsize=SMALL, color=FAINT, va="top")
    for number, share in enumerate((1.0, 0.5, 0.05)):
        y = 58 + 20 * number
        axes.plot([0, 34], [y, y], color=shade(share), linewidth=4, solid_capstyle="butt")
        axes.text(44, y, f"{share:.0%}", fontsize=SMALL, color=FAINT, va="center_baseline")


def _outline() -> list[object]:
    with IMPORTING:
        from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.8, foreground="white")]
