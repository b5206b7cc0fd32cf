"""How mixed each cluster is, by donor, batch or any covariate, and which clusters come from one value alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.figures.agreement import contingency
from tasks.figures.composition import ALMOST_ALL, Composition, composition
from tasks.figures.covariates import Categories
from tasks.figures.label_places import place_labels
from tasks.figures.sheet import HEADING, INK, RULE, SMALL, Sheet, shortened, text_size

BAND, HEIGHT = 190, 620  # pixels of a column's band, and of the axes
FLAG, PLAIN = "#d55e00", "#7f8fa6"
NAMED = 12  # flagged clusters of a column that are named; of more their number
SPREAD_SEED = 0


def entropies(columns: Sequence[Categories], covariate: Categories, about: str) -> Sheet:
    """Draw a dot for each cluster of each column: up, how mixed its cells are; its size, how many they are."""
    found = [
        composition(contingency(of.codes, covariate.codes, len(of.labels), len(covariate.labels))) for of in columns
    ]
    left = 92
    sheet = Sheet(max(left + BAND * len(columns) + 24, 900), HEADING + HEIGHT + 66)
    axes = sheet.axes(left, HEADING + 8, BAND * len(columns), HEIGHT)
    axes.set(xlim=(0, BAND * len(columns)), ylim=(-0.06, 1.06))
    axes.set_ylabel(f"entropy over {covariate.name}\n0: one value, 1: as mixed as all cells", fontsize=SMALL,
                    color=INK, parse_math=False)  # fmt: skip
    axes.yaxis.grid(True, color=RULE, linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xticks([(i + 0.5) * BAND for i in range(len(columns))])
    names = [shortened(of.name, SMALL, BAND - 8) for of in columns]
    axes.set_xticklabels(names, fontsize=SMALL, parse_math=False)
    axes.tick_params(axis="x", length=0)
    largest = max((int(each.n_cells.max(initial=1)) for each in found), default=1)
    for number, (of, each) in enumerate(zip(columns, found, strict=True)):
        _band(axes, number * BAND, of, each, covariate, largest)
    sheet.heading(
        f"How mixed clusters are by {covariate.name}",
        f"{about}; orange: at least {ALMOST_ALL:.0%} of its cells have one value; area: number of cells",
    )
    return sheet


def _band(axes: Any, left: float, of: Categories, found: Composition, covariate: Categories, largest: int) -> None:
    seen = np.isfinite(found.entropy)
    # Beside one another in a fixed disorder, so that equal ones do not hide.
    x = left + BAND * (0.5 + 0.5 * (np.random.default_rng(SPREAD_SEED).random(len(of.labels)) - 0.5))
    area = 6 + 150 * found.n_cells / largest
    for flag, color in ((False, PLAIN), (True, FLAG)):
        those = seen & (found.from_one == flag)
        axes.scatter(
            x[those], found.entropy[those], s=area[those], color=color, alpha=0.75, edgecolor="white", linewidth=0.4,
            zorder=3,
        )  # fmt: skip
    flagged = np.flatnonzero(seen & found.from_one)
    flagged = flagged[np.argsort(-found.n_cells[flagged], kind="stable")]
    if len(flagged) > NAMED:
        axes.text(left + BAND / 2, -0.045, f"{len(flagged)} from one value", fontsize=5.5, color=FLAG, ha="center",
                  va="center_baseline")  # fmt: skip
        return
    texts = [shortened(f"{of.labels[i]}: {covariate.labels[found.largest[i]]}", 5.5, BAND - 10) for i in flagged]
    if not texts:
        return
    # In pixels of the band, up is less.
    sizes = np.array([text_size(text, 5.5) for text in texts])
    middles = np.column_stack([x[flagged] - left, HEIGHT * (1.06 - found.entropy[flagged]) / 1.12 - 14])
    places = place_labels(middles, sizes, np.arange(len(texts)), BAND, HEIGHT)
    for text, place in zip(texts, places, strict=True):
        if np.isfinite(place).all():
            axes.text(
                left + place[0], 1.06 - place[1] * 1.12 / HEIGHT, text, fontsize=5.5, color=INK, ha="center",
                va="center_baseline", parse_math=False, zorder=4, path_effects=_outline(),
            )  # fmt: skip


def _outline() -> list[object]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=1.6, foreground="white")]
