"""UMAPs coloured by categories, by numbers, and by genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.colours.colour_space import rgb_of
from cellstrata.tasks.colours.palette import LARGEST, MISSING
from cellstrata.tasks.evaluation.covariates import Categories, Numbers
from cellstrata.tasks.figures.label_places import anchors, hides, place_labels
from cellstrata.tasks.figures.legend import Legend, LegendLine, entries
from cellstrata.tasks.figures.raster import draw_order, paint, positions, radius
from cellstrata.tasks.figures.sheet import BODY, FAINT, HEADING, INK, RULE, SMALL, Sheet, shortened, text_size
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 900  # pixels of a panel
PANEL = 420  # of one of several
MOST_LABELS = 80  # that a map of clusters can bear
SHORT = 3  # characters that may stand at a centroid; of longer labels their number
GENES = 12  # panels of a figure
APART = 6  # pixels between labels that stand beside one another
# Even for the colour-blind, and in the middle neither as pale as the paper nor as grey as what is missing.
DIVERGING = ("#1f4e9c", "#7fa8d1", "#e9dca8", "#e08a62", "#9c1127")
Embedding = npt.NDArray[np.floating]


class Map:
    """The places of all cells on a panel, for as many figures as there are."""

    def __init__(self, embedding: Embedding, side: int = SIDE) -> None:
        self.side = side
        self.places = positions(embedding, side)
        self.radius = radius(len(embedding), side)

    def image(
        self, rgb: npt.NDArray[np.uint8], missing: npt.NDArray[np.bool_], last: npt.NDArray[np.floating] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Paint all cells, those without a value below the others."""
        order = draw_order(len(rgb), last)
        order = np.concatenate([order[missing[order]], order[~missing[order]]])
        return paint(self.places, rgb, order, self.side, self.radius)


def by_category(
    umap: Map, of: Categories, about: str, labelled: bool = False, whole: bool = False, above: Categories | None = None
) -> Sheet:
    """Draw cells by their category, with a legend that tells how many have it.

    `labelled` writes labels at their clusters' middles: `whole` as they are, otherwise, where one is long, its number
    in the legend. `about` is the line below the title. `above` is the column whose labels and legend are shown instead,
    where this one has too many to be read.
    """
    named = above or of
    numbered = labelled and not whole and any(len(label) > SHORT for label in named.labels)
    if numbered and len(named.labels) > LARGEST:  # no legend would tell what the numbers are
        labelled = numbered = False
    legend = Legend(entries(named, numbered), umap.side)
    sheet = Sheet(16 + umap.side + 24 + legend.width + 24, HEADING + umap.side + 16)
    lookup = np.rint(rgb_of([*(of.colors[label] for label in of.labels), MISSING]) * 255).astype(np.uint8)
    axes = _panel(sheet, umap, umap.image(lookup[of.codes], of.codes < 0), 16, HEADING)
    left_out = 0
    if labelled:
        texts = [str(i) for i in range(len(named.labels))] if numbered else list(named.labels)
        left_out = write_labels(axes, umap, named, texts)
    note = f", no room for the labels of {left_out} small clusters" if left_out else ""
    note += f"; labels and legend: {above.name}" if above else ""
    sheet.heading(of.name, f"{about}, {len(of.labels):,} {'clusters' if whole else 'values'}{note}")
    legend.draw(sheet, 16 + umap.side + 24, HEADING + 6)
    return sheet


def write_labels(axes: Any, umap: Map, of: Categories, texts: Sequence[str]) -> int:
    """Write each category's text at its middle, none over another; returns how many found no room."""
    with IMPORTING:
        from matplotlib.patheffects import withStroke

    size = BODY if len(texts) <= 40 else SMALL if len(texts) <= 120 else SMALL - 1
    middles = anchors(umap.places, of.codes, len(texts))
    sizes = np.array([text_size(text, size, "bold") for text in texts]).reshape(-1, 2)
    largest_first = np.argsort(-of.counts(), kind="stable")
    beside = hides(umap.places, of.codes, middles, sizes)
    found = place_labels(middles, sizes + np.array([APART, 0]), largest_first, umap.side, umap.side, beside)
    outline = [withStroke(linewidth=2.2, foreground="white")]
    for text, middle, place, (_, height) in zip(texts, middles, found, sizes, strict=True):
        if not np.isfinite(place).all():
            continue
        if np.hypot(*(place - middle)) > 1.2 * height:
            line = np.column_stack([middle, place])  # begins with a dot: a short line is no minus before the label
            axes.plot(*line, "-o", markevery=[0], markersize=1.8, markeredgewidth=0, color=INK, linewidth=0.5)
        axes.text(
            *place, text, fontsize=size, weight="bold", color=INK, ha="center", va="center_baseline",
            path_effects=outline, parse_math=False, gid="centroid",
        )  # fmt: skip
    return int((np.isfinite(middles).all(axis=1) & ~np.isfinite(found).all(axis=1)).sum())


def by_number(
    umap: Map, of: Numbers, about: str, ends: tuple[float, float] | None = None, named: Categories | None = None
) -> Sheet:
    """Draw cells by a number, with a colour bar; a diverging map around 0 if any is negative.

    `ends` are those of the bar, whatever the numbers are; `named` are the clusters whose labels are written.
    """
    sheet = Sheet(16 + umap.side + 24 + 190, HEADING + umap.side + 16)
    colors = Scale(of.values, ends)
    axes = _panel(sheet, umap, umap.image(colors.rgb(of.values), np.isnan(of.values)), 16, HEADING)
    if named is not None:
        write_labels(axes, umap, named, named.labels)
    sheet.heading(of.name, about)
    left = 16 + umap.side + 24
    colors.bar(sheet, left, HEADING + 40, 22, umap.side * 0.45)
    if of.n_missing:
        lines = [LegendLine(MISSING, "no value", f"(n={of.n_missing:,})")]
        Legend(lines, 100).draw(sheet, left, HEADING + 40 + umap.side * 0.45 + 50)
    return sheet


def by_genes(umap: Map, genes: Sequence[Numbers], title: str, about: str) -> Sheet:
    """Draw a panel for each gene; cells with a higher value are drawn later."""
    across = -(-len(genes) // -(-len(genes) // 4))
    wide, high = umap.side + 120, umap.side + 56
    sheet = Sheet(16 + across * wide, HEADING + -(-len(genes) // across) * high)
    sheet.heading(title, about)
    for number, gene in enumerate(genes):
        left, top = 16 + number % across * wide, HEADING + number // across * high
        sheet.text(left, top, shortened(gene.name, BODY, umap.side, "bold"), BODY, style="italic", weight="bold")
        colors = Scale(gene.values)
        image = umap.image(colors.rgb(gene.values), np.isnan(gene.values), gene.values)
        _panel(sheet, umap, image, left, top + 24)
        colors.bar(sheet, left + umap.side + 10, top + 24 + umap.side * 0.25, 12, umap.side * 0.5)
    return sheet


class Scale:
    """From numbers to colours: from the smallest to the largest, but for the outermost half percents, or as `fixed`."""

    def __init__(self, values: npt.NDArray[np.float64], fixed: tuple[float, float] | None = None) -> None:
        there = values[~np.isnan(values)]
        self.lowest, self.highest = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
        low, high = np.quantile(there, [0.005, 0.995]) if len(there) else (0.0, 1.0)
        if fixed is not None:
            low, high = self.lowest, self.highest = fixed
        elif low == high:
            low, high = self.lowest, self.highest
        ends = (float(low), float(high))
        self.diverging = self.lowest < 0
        if self.diverging:
            high = max(abs(low), abs(high))
            low = -high
        self.low, self.high = float(low), float(high) if high > low else float(low) + 1.0
        self.ends = ends if self.diverging and ends[0] < ends[1] else (self.low, self.high)

    def rgb(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Return (n, 3) colours, grey for NaN."""
        lookup = np.vstack([np.rint(self._map()(np.linspace(0, 1, 256))[:, :3] * 255), rgb_of([MISSING]) * 255])
        parts = np.clip((values - self.low) / (self.high - self.low), 0, 1) * 255
        index = np.where(np.isnan(parts), 256, np.nan_to_num(parts)).astype(np.int64)
        return np.asarray(lookup.astype(np.uint8)[index])

    def bar(self, sheet: Sheet, left: float, top: float, width: float, height: float) -> None:
        """Draw the colour bar as far as there are numbers, with points where single ones go on."""
        with IMPORTING:
            from matplotlib.cm import ScalarMappable
            from matplotlib.colors import ListedColormap, Normalize

        low, high = self.ends
        beyond = (self.lowest < low, self.highest > high)
        extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
        parts = (np.linspace(low, high, 256) - self.low) / (self.high - self.low)
        shown = ScalarMappable(Normalize(low, high), ListedColormap(self._map()(parts)))
        bar = sheet.figure.colorbar(shown, cax=sheet.axes(left, top, width, height), extend=extend)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=SMALL, color=RULE, labelcolor=INK)
        bar.locator = _ticks()
        bar.update_ticks()
        bar.ax.yaxis.get_offset_text().set_fontsize(SMALL)

    def _map(self) -> Any:
        with IMPORTING:
            import matplotlib
            from matplotlib.colors import LinearSegmentedColormap

        if self.diverging:
            return LinearSegmentedColormap.from_list("diverging", DIVERGING)
        return matplotlib.colormaps["viridis"]


def _ticks() -> Any:
    with IMPORTING:
        from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)


def _panel(sheet: Sheet, umap: Map, image: npt.NDArray[np.uint8], left: float, top: float) -> Axes:
    axes = sheet.axes(left, top, umap.side, umap.side, plain=True)
    axes.imshow(image, extent=(0, umap.side, umap.side, 0), interpolation="nearest", aspect="auto")
    axes.set(xlim=(0, umap.side), ylim=(umap.side, 0))
    corner, length = umap.side - 4, 0.09 * umap.side
    arrow = {"arrowstyle": "-|>", "color": FAINT, "lw": 0.8, "mutation_scale": 7}
    axes.annotate("", (length, corner), (4, corner), arrowprops=arrow)
    axes.annotate("", (4, umap.side - length), (4, corner), arrowprops=arrow)
    if umap.side >= SIDE:
        axes.text(12, corner - 6, "UMAP1", fontsize=SMALL, color=FAINT, va="bottom")
        axes.text(10, corner - 24, "UMAP2", fontsize=SMALL, color=FAINT, va="bottom", rotation=90)
    return axes
