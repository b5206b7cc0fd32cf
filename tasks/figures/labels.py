"""Many short texts as one artist: matplotlib's own lay each out anew, which takes ten times as long as drawing it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.figures.sheet import DPI, INK, SMALL, font_of, text_size
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASELINE = 0.36  # of the text's size: how far below the middle of digits and capitals it stands on


def write_all(
    axes: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    texts: Sequence[str],
    size: float = SMALL,
    color: str = INK,
    weight: str = "normal",
    align: Literal["left", "center", "right"] = "left",
) -> None:
    """Write each text at its place (in the axes' data units, `y` at the middle of its digits), all in one style."""
    if texts:
        places = np.column_stack([np.broadcast_to(np.asarray(x, float), len(texts)), np.asarray(y, float)])
        axes.add_artist(_class()(axes, places, list(texts), size, color, weight, align))


@cache
def _class() -> Any:
    """Make the class where matplotlib is imported, with the first figure."""
    with IMPORTING:
        from matplotlib.artist import Artist

    class Labels(Artist):
        def __init__(
            self, axes: Any, places: Any, texts: list[str], size: float, color: str, weight: str, align: str
        ) -> None:
            super().__init__()
            self.of: Any = axes
            self.places, self.texts, self.color = places, texts, color
            self.size, self.weight, self.align = size, weight, align
            self.set_zorder(3)

        def draw(self, renderer: Any) -> None:
            """Draw all."""
            points = self.of.transData.transform(self.places)
            pixel = renderer.points_to_pixels(1.0)
            height = renderer.get_canvas_width_height()[1]
            share = {"left": 0.0, "center": 0.5, "right": 1.0}[self.align]
            context, font = renderer.new_gc(), font_of(self.size, self.weight)
            context.set_foreground(self.color)
            for (x, y), text in zip(points, self.texts, strict=True):
                width = text_size(text, self.size, self.weight)[0] * 72 / DPI * pixel if share else 0.0
                low = height - y + BASELINE * self.size * pixel
                renderer.draw_text(context, x - share * width, low, text, font, 0, ismath=False)
            context.restore()

    return Labels
