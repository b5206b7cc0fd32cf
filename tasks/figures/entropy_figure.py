"""How mixed each cluster is, by donor, batch or any covariate, and which clusters come from one value alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.agreement import contingency
from cellstrata.tasks.evaluation.composition import ALMOST_ALL, Composition, composition
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.sheet import FAINT, HEADING, INK, RULE, SMALL, Sheet, shortened, text_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND, MOST = 240, 5  # pixels of a column's band, and bands beside one another
HEIGHT, LOWER = 620, 440  # of the axes: alone, and of several below one another
BELOW = 58  # pixels for what is written below axes
NAME = 6.0  # points
LOWEST, HIGHEST = -0.06, 1.06
FLAG, PLAIN = "#d55e00", "#7f8fa6"
NAMED = 12  # flagged clusters of a column that are named; of more their number
SPREAD_SEED = 0
Places = npt.NDArray[np.float64]


def entropies(columns: Sequence[Categories], covariate: Categories, about: str) -> Sheet:
    """Draw a dot for each cluster of each column: up, how mixed its cells are; its size, how many they are."""
    found = [
        composition(contingency(of.codes, covariate.codes, len(of.labels), len(covariate.labels))) for of in columns
    ]
    rows = -(-len(columns) // MOST)
    across = -(-len(columns) // rows)
    left, height = 92, HEIGHT if rows == 1 else LOWER
    sheet = Sheet(max(left + BAND * across + 24, 900), HEADING + 8 + rows * (height + BELOW))
    largest = max((int(each.n_cells.max(initial=1)) for each in found), default=1)
    for row in range(rows):
        part = slice(row * across, (row + 1) * across)
        axes = _axes(sheet, left, HEADING + 8 + row * (height + BELOW), height, columns[part], covariate.name)
        for number, (of, each) in enumerate(zip(columns[part], found[part], strict=True)):
            _band(axes, number * BAND, height, of, each, covariate, largest)
    sheet.heading(
        f"How mixed clusters are by {covariate.name}",
        f"{about}; orange: at least {ALMOST_ALL:.0%} of its cells have one value; area: number of cells",
    )
    return sheet


def _axes(sheet: Sheet, left: float, top: float, height: float, columns: Sequence[Categories], name: str) -> Axes:
    wide = BAND * len(columns)
    axes = sheet.axes(left, top, wide, height)
    axes.set(xlim=(0, wide), ylim=(LOWEST, HIGHEST))
    axes.set_ylabel(f"entropy over {shortened(name, SMALL, height - 120)}\n0: one value, 1: as mixed as all cells",
                    fontsize=SMALL, color=INK, parse_math=False)  # fmt: skip
    axes.yaxis.grid(True, color=RULE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xticks([(i + 0.5) * BAND for i in range(len(columns))])
    names = [shortened(of.name, SMALL, BAND - 8) for of in columns]
    axes.set_xticklabels(names, fontsize=SMALL, parse_math=False)
    axes.tick_params(axis="x", length=0)
    return axes


def _band(
    axes: Any, left: float, height: float, of: Categories, found: Composition, covariate: Categories, largest: int
) -> None:
    seen = np.isfinite(found.entropy)
    flagged = np.flatnonzero(seen & found.from_one)
    named = 0 < len(flagged) <= NAMED
    # Beside one another in a fixed disorder, so that equal ones do not hide; names stand right of all dots.
    first, last = (0.06, 0.38) if named else (0.2, 0.8)
    spread = np.random.default_rng(SPREAD_SEED).random(len(of.labels))
    x = left + BAND * (first + (last - first) * spread)
    area = 6 + 150 * found.n_cells / largest
    for flag, color in ((False, PLAIN), (True, FLAG)):
        those = seen & (found.from_one == flag)
        axes.scatter(
            x[those], found.entropy[those], s=area[those], color=color, alpha=0.75, edgecolor="white", linewidth=0.4,
            zorder=3,
        )  # fmt: skip
    if named:
        texts = [f"{of.labels[i]}: {covariate.labels[found.largest[i]]}" for i in flagged]
        _names(axes, left, height, x[flagged], found.entropy[flagged], texts)
    elif len(flagged):
        write_all(axes, left + BAND / 2, [-0.04], [f"{len(flagged)} from one value"], NAME, FLAG, align="center")


def _names(axes: Any, left: float, height: float, x: Places, y: Places, texts: Sequence[str]) -> None:
    """Write names below one another as near as can be to the height of their dots, and lead a line to each."""
    unit = (HIGHEST - LOWEST) / height
    start, room = left + 0.45 * BAND, 0.55 * BAND
    order = np.lexsort([x, y])
    places = stacked(y[order], text_size("x", NAME)[1] * unit, LOWEST, HIGHEST)
    write_all(axes, start, places, [shortened(texts[i], NAME, room) for i in order], NAME)
    for i, place in zip(order, places, strict=True):
        axes.plot([x[i], start - 12, start - 4], [y[i], place, place], color=FAINT, linewidth=0.4, zorder=2)


def stacked(wanted: Places, apart: float, low: float, high: float) -> Places:
    """Return ascending places from `low` to `high` at least `apart`, near the ascending ones that are wanted."""
    found = np.maximum(wanted, low + apart / 2)
    for i in range(1, len(found)):
        found[i] = max(found[i], found[i - 1] + apart)
    if len(found):
        found[-1] = min(found[-1], high - apart / 2)
    for i in range(len(found) - 2, -1, -1):
        found[i] = min(found[i], found[i + 1] - apart)
    return found
