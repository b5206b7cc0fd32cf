"""One look at how all columns agree with all covariates, and with one another: a heat map of NMI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.figures.agreement import agreement, contingency
from tasks.figures.covariates import Categories
from tasks.figures.sheet import HEADING, INK, SMALL, Sheet, boxes, shortened, text_size

CELL = 44  # pixels
ROOM = 260  # for a name


def heat_map(columns: Sequence[Categories], covariates: Sequence[Categories], about: str) -> Sheet:
    """Draw the NMI of every cluster column (rows) with the covariates, and, behind a gap, with the cluster columns."""
    size = SMALL if len(columns) <= 24 else SMALL - 1.5
    across = [*covariates, *columns]
    names = [shortened(each.name, size, ROOM) for each in across]
    values = np.full((len(columns), len(across)), np.nan)
    for row, one in enumerate(columns):
        for place, other in enumerate(across):
            of_columns = place - len(covariates)
            if 0 <= of_columns < row:  # it is symmetric
                values[row, place] = values[of_columns, len(covariates) + row]
            else:
                table = contingency(one.codes, other.codes, len(one.labels), len(other.labels))
                values[row, place] = agreement(table).nmi
    cell = CELL if len(columns) <= 24 else CELL * 0.6
    gap = cell * 0.4 if covariates else 0
    left = 16 + max(text_size(shortened(each.name, size, ROOM), size)[0] for each in columns) + 12
    slant = max(text_size(name, size)[0] for name in names) * 0.72 + 26
    wide = len(across) * cell + gap
    sheet = Sheet(max(left + wide + slant, 620), HEADING + slant + len(columns) * cell + 60)
    axes = sheet.axes(left, HEADING + slant, wide, len(columns) * cell, plain=True)
    shades, squares, colors = _map(), [], []
    for row, of_row in enumerate(values):
        axes.text(
            -8, (row + 0.5) * cell, shortened(columns[row].name, size, ROOM), fontsize=size, color=INK, ha="right",
            va="center_baseline", parse_math=False,
        )  # fmt: skip
        for place, value in enumerate(of_row):
            x = place * cell + (gap if place >= len(covariates) else 0)
            squares.append((x + 1, row * cell + 1, x + cell - 1, (row + 1) * cell - 1))
            colors.append(shades(value) if np.isfinite(value) else "#eeeeee")
            if np.isfinite(value):
                axes.text(
                    x + cell / 2, (row + 0.5) * cell, f"{value:.2f}".lstrip("0") if value < 1 else "1",
                    fontsize=size - 0.8, color="white" if value < 0.6 else INK, ha="center", va="center_baseline",
                )  # fmt: skip
    boxes(axes, np.array(squares), colors)
    for place, name in enumerate(names):
        x = (place + 0.5) * cell + (gap if place >= len(covariates) else 0)
        axes.text(x, -8, name, fontsize=size, color=INK, rotation=45, ha="left", va="bottom", rotation_mode="anchor",
                  parse_math=False)  # fmt: skip
    sheet.heading("Agreement of columns (NMI)", about)
    return sheet


def _map() -> Any:
    import matplotlib

    return matplotlib.colormaps["viridis"]
