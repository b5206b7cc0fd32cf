"""The list beside a figure: a colour, its label, and how many cells have it; columns as wide as they must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellstrata.tasks.colours.palette import LARGEST, MISSING
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.sheet import DPI, FAINT, SMALL, Sheet, shortened, text_size

WIDEST = 380  # pixels of a label; longer ones are shortened
GAP, SWATCH = 26, 15


@dataclass(frozen=True)
class LegendLine:
    """A line: the colour, the text and, fainter, how many cells."""

    color: str
    text: str
    count: str


def entries(of: Categories, numbered: bool = False) -> list[LegendLine]:
    """Return the lines for a column's labels and its missing values.

    With `numbered` each begins with its index. Of more labels than colours there are none but a line that says so.
    """
    lines = [
        LegendLine(of.colors[label], f"{i}: {label}" if numbered else label, f"(n={n:,})")
        for i, (label, n) in enumerate(zip(of.labels, of.counts(), strict=True))
    ]
    if len(lines) > LARGEST:
        lines = [
            LegendLine("none", f"{len(lines):,} values: more than", ""),
            LegendLine("none", "a legend can show", ""),
        ]
    if of.n_missing:
        lines.append(LegendLine(MISSING, "no value", f"(n={of.n_missing:,})"))
    return lines


class Legend:
    """Lines laid out in columns no higher than `height` pixels; `width` and `height` are what they need."""

    def __init__(self, lines: Sequence[LegendLine], height: float, size: float = SMALL) -> None:
        self.size = size
        self.line = text_size("x", size)[1] * 1.12
        rows = max(1, int(height // self.line))
        columns = -(-len(lines) // rows) or 1
        rows = max(1, -(-len(lines) // columns))
        fitting = self._fitting(lines)
        self.columns = [fitting[i : i + rows] for i in range(0, len(lines), rows)]
        self.widths = [max(self._width(e) for e in column) for column in self.columns]
        self.width = sum(self.widths) + GAP * (len(self.widths) - 1) if lines else 0.0
        self.height = rows * self.line if lines else 0.0

    def draw(self, sheet: Sheet, left: float, top: float) -> None:
        """Draw it, its left upper corner there."""
        begin, lines, x = [], [], left
        for column, width in zip(self.columns, self.widths, strict=True):
            begin += [(x, top + (number + 0.5) * self.line) for number in range(len(column))]
            lines += column
            x += width + GAP
        if not lines:
            return
        colored = np.array([line.color != "none" for line in lines])
        starts, y = np.array(begin).T
        fills = [line.color for line in lines if line.color != "none"]
        area = (0.68 * self.line * 72 / DPI) ** 2
        axes = sheet.page
        axes.scatter(starts[colored] + SWATCH / 2, y[colored], s=area, c=fills, linewidth=0, clip_on=False)
        starts = starts + np.where(colored, SWATCH + 6, 0)
        write_all(axes, starts, y, [line.text for line in lines], self.size)
        ends = starts + [text_size(f"{line.text} ", self.size)[0] + 4 for line in lines]
        write_all(axes, ends, y, [line.count for line in lines], self.size, FAINT)

    def _fitting(self, lines: Sequence[LegendLine]) -> list[LegendLine]:
        texts = [shortened(line.text, self.size, WIDEST) for line in lines]
        seen = {text.partition(": ")[2] or text for text in texts}  # without their numbers
        if len(seen) < len(texts):  # they differ only further on
            texts = [shortened(line.text, self.size, WIDEST, tail=0.6) for line in lines]
        return [LegendLine(line.color, text, line.count) for line, text in zip(lines, texts, strict=True)]

    def _width(self, entry: LegendLine) -> float:
        swatch = 0 if entry.color == "none" else SWATCH + 6
        return swatch + text_size(f"{entry.text} ", self.size)[0] + 4 + text_size(entry.count, self.size)[0]
