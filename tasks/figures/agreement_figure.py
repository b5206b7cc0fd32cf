"""One look at how all columns agree with all covariates, and with one another: a heat map of NMI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cellstrata.tasks.evaluation.agreement import agreement, contingency
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.sheet import HEADING, INK, SMALL, Sheet, boxes, shortened, text_size
from cellstrata.tasks.imports.turns import IMPORTING

CELL = 44  # pixels
ROOM = 260  # for a name
LIGHT = 0.5  # from here on a square is light


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
    shades = _map()
    squares: list[tuple[float, ...]] = []
    colors: list[object] = []
    x = np.arange(len(across)) * cell + np.where(np.arange(len(across)) >= len(covariates), gap, 0)
    middles = (np.arange(len(columns)) + 0.5) * cell
    for row, of_row in enumerate(values):
        squares += [(start + 1, row * cell + 1, start + cell - 1, (row + 1) * cell - 1) for start in x]
        colors += [shades(value) if np.isfinite(value) else "#eeeeee" for value in of_row]
    boxes(axes, np.array(squares), colors)
    write_all(axes, -8, middles, [shortened(each.name, size, ROOM) for each in columns], size, align="right")
    for color, those in (("white", values < LIGHT), (INK, values >= LIGHT)):
        rows, places = those.nonzero()
        texts = [f"{value:.2f}".lstrip("0") if value < 1 else "1" for value in values[rows, places]]
        write_all(axes, x[places] + cell / 2, middles[rows], texts, size - 0.8, color, align="center")
    for place, name in enumerate(names):
        axes.text(
            x[place] + cell / 2, -8, name, fontsize=size, color=INK, rotation=45, ha="left", va="bottom",
            rotation_mode="anchor", parse_math=False,
        )  # fmt: skip
    sheet.heading("Agreement of columns (NMI)", about)
    return sheet


def _map() -> Any:
    with IMPORTING:
        import matplotlib

    return matplotlib.colormaps["viridis"]
