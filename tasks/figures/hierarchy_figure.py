"""The tree of one resolution: each cluster with its size, and why it was split no further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.figures.hierarchy_layout import Branch, Line, lay_out
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.sheet import FAINT, HEADING, RULE, SMALL, Sheet, boxes, text_size
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.stability import LOW

ROW = 24  # pixels
INDENT = 34
BAR = 90  # the longest bar of a number of cells
STABLE = 30  # the bar of a stability of 1
LOST = "#c2410c"  # of a cluster that other seeds do not find again


def hierarchy(top: Sequence[Branch], colors: Mapping[str, Mapping[str, str]], title: str, about: str) -> Sheet:
    """Draw the clusters below one another, each under its parent; `colors` is a palette.

    A bar is as long as the square root of the cells; beside it their number, why the cluster was not split, and how far
    halves of its cells agree, where that is known. Where ensembles made clusters, a thin bar before it is as long as
    their stability.
    """
    lines = lay_out(list(top))
    pages = max((line.page for line in lines), default=0) + 1
    largest = max((line.branch.n_cells for line in lines), default=1)
    deepest = max((line.branch.level for line in lines), default=1)
    texts = [_text(line.branch) for line in lines]
    names = max((text_size(line.branch.label, SMALL, "bold")[0] for line in lines), default=0)
    rated = any(line.branch.stability is not None for line in lines)
    before = 14 + names + 14 + (STABLE + 12 if rated else 0)
    page = INDENT * (deepest - 1) + before + BAR + 8
    page += max((text_size(text, SMALL)[0] for text in texts), default=0) + 44
    rows = max((line.row for line in lines), default=0) + 1
    sheet = Sheet(max(16 + page * pages, 620), HEADING + rows * ROW + 24)
    axes = sheet.axes(0, HEADING, sheet.width, rows * ROW + 20, plain=True)
    left = np.array([26 + line.page * page for line in lines], float)
    x = left + INDENT * np.array([line.branch.level - 1 for line in lines], float)
    y = ROW * (0.5 + np.array([line.row for line in lines], float))
    fills = [colors[line.branch.column][line.branch.label] for line in lines]
    _links(axes, lines, x, y)
    axes.scatter(x, y, s=46, c=fills, linewidth=0, zorder=2)
    start = left + INDENT * (deepest - 1) + before
    end = start + np.maximum(BAR * np.sqrt([line.branch.n_cells / largest for line in lines]), 1.5)
    boxes(axes, np.column_stack([start, y - 5, end, y + 5]), fills)
    if rated:
        _stabilities(axes, lines, start - STABLE - 12, y)
        about += f"; thin bars: stability, orange below {LOW}"
    split = np.array([bool(line.branch.children) for line in lines], bool)
    for weight, those in (("bold", split), ("normal", ~split)):
        labels = [line.branch.label for line, own in zip(lines, those, strict=True) if own]
        write_all(axes, x[those] + 14, y[those], labels, weight=weight)
    write_all(axes, end + 8, y, texts, color=FAINT)
    sheet.heading(title, about)
    return sheet


def _links(axes: Any, lines: Sequence[Line], x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Draw from each cluster to its parent; where that stands in another column of the page, a short end."""
    with IMPORTING:
        from matplotlib.collections import LineCollection

    paths = []
    for line, right, low in zip(lines, x, y, strict=True):
        if line.branch.level > 1:
            top = (line.parent_row + 0.5) * ROW + 9 if line.parent_row is not None else low - ROW / 2
            paths.append([(right - INDENT, top), (right - INDENT, low), (right - 8, low)])
    axes.add_collection(LineCollection(paths, colors=RULE, linewidths=0.9, zorder=1), autolim=False)


def _stabilities(axes: Any, lines: Sequence[Line], left: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
    """Draw how far each cluster is found again, on a paler bar of 1; nothing for single runs."""
    of = np.array([np.nan if line.branch.stability is None else line.branch.stability for line in lines])
    known = np.isfinite(of)
    left, y, of = left[known], y[known], of[known]
    boxes(axes, np.column_stack([left, y - 2, left + STABLE, y + 2]), [RULE] * len(of))
    fills = [LOST if value < LOW else FAINT for value in of]
    boxes(axes, np.column_stack([left, y - 2, left + STABLE * of, y + 2]), fills)


def _text(branch: Branch) -> str:
    found = "" if branch.replicability is None else f"replicability {branch.replicability:z.2f}"
    return " · ".join(filter(None, [f"{branch.n_cells:,}", branch.stopped, found]))
