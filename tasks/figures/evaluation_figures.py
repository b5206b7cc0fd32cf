"""What clusters are made of: bars of a covariate's values, violins of its numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.colours.palette import MISSING
from cellstrata.tasks.evaluation.agreement import agreement, contingency
from cellstrata.tasks.evaluation.covariates import Categories, Numbers
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.legend import Legend, LegendLine, entries
from cellstrata.tasks.figures.sheet import FAINT, HEADING, INK, RULE, SMALL, TITLE, Sheet, boxes, shortened, text_size

MOST_VALUES = 100  # of a covariate that bars can show
MOST_CLUSTERS = 60  # rows of a figure, the largest
WIDTH = 760  # pixels of the bars
LOW, HIGH = 11, 26  # pixels of a row
BINS = 160
Counts = npt.NDArray[np.int64]


def bars(clusters: Categories, covariate: Categories, about: str) -> Sheet:
    """Draw for each cluster, the largest first, the shares of a covariate's values, and how well both agree."""
    table = contingency(clusters.codes, covariate.codes, len(clusters.labels), len(covariate.labels))
    sizes = clusters.counts()
    rows = np.argsort(-sizes, kind="stable")[:MOST_CLUSTERS]
    sheet, axes, place = _rows(clusters, sizes, rows, entries(covariate))
    parts = np.column_stack([table, sizes - table.sum(axis=1)])[rows] / np.maximum(sizes[rows], 1)[:, None]
    starts = np.cumsum(parts, axis=1) - parts
    colors = [*(covariate.colors[label] for label in covariate.labels), MISSING]
    y, value = parts.nonzero()
    left = starts[y, value]
    boxes(axes, np.column_stack([left, y - 0.42, left + parts[y, value], y + 0.42]), [colors[each] for each in value])
    axes.set_xlim(0, 1)
    of = shortened(covariate.name, SMALL, WIDTH - 280)
    axes.set_xlabel(f"share of the cluster's cells, by {of}", fontsize=SMALL, color=INK, parse_math=False)
    found = agreement(table)
    told = f"NMI {found.nmi:.2f}   ARI {found.ari:.2f}   V-measure {found.v_measure:.2f}"
    known = f", {found.n_cells:,} with a value" if found.n_cells < sizes.sum() else ""
    room = sheet.width - 40 - text_size(f"{clusters.name} and :   {told}", TITLE, "bold")[0]
    sheet.heading(
        f"{clusters.name} and {shortened(covariate.name, TITLE, room, 'bold')}:   {told}",
        f"{about}{known}, homogeneity {found.homogeneity:.2f}, completeness {found.completeness:.2f}"
        f"{_left_out(clusters, rows)}",
    )
    place()
    return sheet


def violins(clusters: Categories, covariate: Numbers, about: str) -> Sheet:
    """Draw for each cluster, the largest first, how a number is distributed, its quartiles and median."""
    sizes = clusters.counts()
    rows = np.argsort(-sizes, kind="stable")[:MOST_CLUSTERS]
    sheet, axes, place = _rows(clusters, sizes, rows, [])
    there = covariate.values[~np.isnan(covariate.values)]
    # A thousandth at either end is left out, lest a single cell squeeze all others.
    low, high = np.quantile(there, [0.001, 0.999]) if len(there) else (0.0, 1.0)
    low, span = float(low), float(high - low) or 1.0
    groups = _grouped(clusters, covariate)
    for y, label in enumerate(rows):
        own = groups[label]
        if not len(own):
            continue
        grid, density = _density(np.clip(own, low, low + span), low, span)
        color = clusters.colors[clusters.labels[label]]
        axes.fill_between(grid, y - 0.45 * density, y + 0.45 * density, color=color, linewidth=0)
        first, middle, third = np.quantile(own, [0.25, 0.5, 0.75])
        axes.plot([first, third], [y, y], color=INK, linewidth=1.1, solid_capstyle="butt")
        axes.plot([middle], [y], "o", color="white", markeredgecolor=INK, markersize=3.4, markeredgewidth=0.8)
    axes.set_xlim(low - 0.03 * span, low + 1.03 * span)
    axes.set_xlabel(shortened(covariate.name, SMALL, WIDTH), fontsize=SMALL, color=INK, parse_math=False)
    unknown = f", {covariate.n_missing:,} cells have no value" if covariate.n_missing else ""
    sheet.heading(
        f"{covariate.name} in {clusters.name}", f"{about}, median and quartiles{unknown}{_left_out(clusters, rows)}"
    )
    place()
    return sheet


def _rows(clusters: Categories, sizes: Counts, rows: Counts, lines: list[LegendLine]) -> tuple[Sheet, Any, Any]:
    """Make the sheet with a row a cluster, its name and size beside it; returns also what draws the legend."""
    names = [clusters.labels[row] for row in rows]
    counts = [f"n={sizes[row]:,}" for row in rows]
    row = float(np.clip(1500 / max(1, len(rows)), LOW, HIGH))
    size = SMALL if row > 15 else 4.6
    height = max(row * len(rows), 60)
    legend = Legend(lines, max(height, 420))
    left = 16 + max((text_size(name, size)[0] for name in names), default=0) + 14
    right = max((text_size(count, size)[0] for count in counts), default=0) + 12
    across = 24 + legend.width if lines else 0
    tall = max(height, legend.height)
    sheet = Sheet(left + WIDTH + right + across + 20, HEADING + tall + 62)
    axes = sheet.axes(left, HEADING, WIDTH, height)
    axes.spines[["left"]].set_visible(False)
    axes.set(ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks([])
    middles = HEADING + (np.arange(len(rows)) + 0.5) * height / max(1, len(rows))
    write_all(sheet.page, left - 8, middles, names, size, align="right")
    write_all(sheet.page, left + WIDTH + 8, middles, counts, size, FAINT)
    axes.xaxis.grid(True, color=RULE, linewidth=0.4)
    axes.set_axisbelow(True)
    return sheet, axes, lambda: legend.draw(sheet, left + WIDTH + right + 24, HEADING) if lines else None


def _grouped(clusters: Categories, covariate: Numbers) -> list[npt.NDArray[np.float64]]:
    both = np.flatnonzero((clusters.codes >= 0) & ~np.isnan(covariate.values))
    order = both[np.argsort(clusters.codes[both], kind="stable")]
    edges = np.searchsorted(clusters.codes[order], np.arange(len(clusters.labels) + 1))
    return [covariate.values[order[a:b]] for a, b in pairwise(edges)]


def _density(
    values: npt.NDArray[np.float64], low: float, span: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return where, and how dense from 0 to 1, values lie: a histogram smoothed as Silverman's rule says."""
    counts, edges = np.histogram(values, bins=BINS, range=(low, low + span))
    middles = (edges[:-1] + edges[1:]) / 2
    width = max(1.06 * float(values.std()) * len(values) ** -0.2, span / BINS)
    reach = min((BINS - 1) // 2, int(np.ceil(3 * width / (span / BINS))))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * (span / BINS) / width) ** 2)
    smooth = np.convolve(counts, kernel, mode="same")
    within = (middles >= values.min() - span / BINS) & (middles <= values.max() + span / BINS)
    return middles[within], (smooth / (smooth.max() or 1))[within]


def _left_out(clusters: Categories, rows: Counts) -> str:
    n = len(clusters.labels) - len(rows)
    return f", without the {n} smallest clusters" if n else ""
