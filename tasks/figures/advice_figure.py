"""The chart of a sweep: how many clusters each resolution gives, and how far they are found again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.advice.candidates import JudgedResolution, comparable
from cellstrata.tasks.advice.sentence import number
from cellstrata.tasks.figures.sheet import BODY, FAINT, HEADING, INK, RULE, SMALL, Sheet, shortened, text_size
from cellstrata.tasks.imports.turns import IMPORTING

LEFT, WIDE, UPPER, LOWER, BELOW = 92, 860, 270, 330, 66  # pixels
TOP = HEADING + 28
BAND, ADVISED = "#eef2f6", "#d55e00"
KEY = (
    "orange: advised; filled: candidates; bands: nearly the same clusters; at the foot: where a partition is the best "
    "by modularity"
)
LINES = (
    ("replicability", "halves with one another", "#0072b2", "-"),
    ("recovered", "halves with all cells", "#cc79a7", "-"),
    ("expected", "clouds without groups", "#7f8fa6", "--"),
    ("stability", "stability of runs", "#009e73", ":"),
)


def advice_sheet(advice: Advice, about: str) -> Sheet:
    """Draw a sweep: above the clusters of level 1 by resolution, below how far these are found again.

    Bands are plateaus of nearly the same clusters; a thick line at the foot is where a partition is the best by
    modularity; candidates are filled dots, the advised one is orange.
    """
    sheet = Sheet(LEFT + WIDE + 28, TOP + UPPER + LOWER + 2 * BELOW + 60)
    rows = advice.resolutions
    upper = sheet.axes(LEFT, TOP, WIDE, UPPER)
    lower = sheet.axes(LEFT, TOP + UPPER + BELOW + 20, WIDE, LOWER)
    for axes in (upper, lower):
        _across(axes, rows)
    _clusters(upper, advice)
    _measures(lower, advice)
    first, _, second = advice.said.partition("; ")
    sheet.heading(f"Resolutions: {advice.algorithm}, {about}", f"{first};" if second else first)
    sheet.text(16, 68, shortened(second, SMALL + 0.5, sheet.width - 32), SMALL + 0.5, color=FAINT)
    sheet.text(16, sheet.height - 44, shortened(KEY, SMALL, sheet.width - 32), SMALL, color=FAINT)
    return sheet


def _across(axes: Any, rows: Sequence[JudgedResolution]) -> None:
    with IMPORTING:
        from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    first, last = rows[0].resolution, rows[-1].resolution
    axes.set_xscale("log")
    axes.set_xlim(first / 1.15, last * 1.15)
    shown = list(_apart([row.resolution for row in rows]))
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FixedFormatter([number(value) for value in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    for _, group in groupby(rows, key=lambda row: row.plateau):
        members = list(group)
        if len(members) > 1:
            axes.axvspan(members[0].resolution / 1.04, members[-1].resolution * 1.04, color=BAND, linewidth=0, zorder=0)
    axes.set_axisbelow(True)
    axes.yaxis.grid(True, color=RULE, linewidth=0.4)


def _apart(values: Sequence[float]) -> Iterator[float]:
    """Yield those values, ascending, whose names find room beside those before."""
    pixels = WIDE / math.log(values[-1] / values[0] * 1.15**2)
    end = -math.inf
    for value in values:
        middle, half = math.log(value / values[0]) * pixels, text_size(number(value), SMALL)[0] / 2
        if middle - half >= end:
            yield value
            end = middle + half + 8


def _clusters(axes: Any, advice: Advice) -> None:
    with IMPORTING:
        from matplotlib.ticker import MaxNLocator

    rows = advice.resolutions
    most = max(row.n_clusters for row in rows)
    axes.plot([row.resolution for row in rows], [row.n_clusters for row in rows], color=INK, linewidth=1)
    named = set(_apart([row.resolution for row in rows]))
    for row in rows:
        _dot(axes, row, row.n_clusters, advice)
        if row.resolution in named:
            axes.annotate(str(row.n_clusters), (row.resolution, row.n_clusters), (0, 5), textcoords="offset points",
                          ha="center", fontsize=SMALL - 0.8, color=INK)  # fmt: skip
    axes.set_ylim(-0.06 * most, 1.18 * most)
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_ylabel("clusters of level 1", fontsize=SMALL, color=INK)
    low, high = axes.get_xlim()
    ranges = dict.fromkeys((row.best_from, row.best_to) for row in rows if row.best_from is not None)
    for place, (start, end) in enumerate(ranges):
        span = [max(start or low, low), min(end or high, high)]
        if span[0] < span[1]:
            axes.plot(span, [-0.03 * most] * 2, color=(FAINT, RULE)[place % 2], linewidth=3, solid_capstyle="butt")


def _measures(axes: Any, advice: Advice) -> None:
    for name, label, color, style in LINES:
        known = [row for row in advice.resolutions if getattr(row, name) is not None and row.n_clusters > 1]
        if known:
            axes.plot([row.resolution for row in known], [getattr(row, name) for row in known], style, color=color,
                      linewidth=1.2, label=label)  # fmt: skip
    measured = comparable(advice.resolutions)
    for row in measured:
        _dot(axes, row, row.measure, advice)
    if not measured:
        axes.text(0.5, 0.5, "nothing was measured", transform=axes.transAxes, ha="center", fontsize=BODY, color=FAINT)
    axes.set_ylim(-0.03, 1.05)
    axes.set_ylabel("1: found again, 0: as by chance", fontsize=SMALL, color=INK)
    axes.set_xlabel("resolution", fontsize=SMALL, color=INK)
    if axes.lines:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(LINES), fontsize=SMALL, frameon=False,
                    borderaxespad=0.3, columnspacing=1.0, handlelength=1.5)  # fmt: skip


def _dot(axes: Any, row: JudgedResolution, value: float, advice: Advice) -> None:
    advised = row.resolution == advice.advised
    edge = ADVISED if advised else INK
    fill = edge if row.resolution in advice.candidates else "white"
    axes.plot([row.resolution], [value], "o", markersize=6 if advised else 4, markerfacecolor=fill,
              markeredgecolor=edge, markeredgewidth=0.9, zorder=3)  # fmt: skip
