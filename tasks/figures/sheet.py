"""A sheet to draw on, measured in pixels from its left upper corner; matplotlib's objects without pyplot."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties

DPI = 150
COMPRESSION = 2  # zlib's level
INK, FAINT, RULE = "#1a1a1a", "#6b6b6b", "#c8c8c8"
BODY, SMALL, TITLE = 8.0, 6.5, 10.0  # points


_make: ContextVar[Callable[..., Figure] | None] = ContextVar("cellstrata_figures", default=None)


@contextlib.contextmanager
def figures_by(make: Callable[..., Figure]) -> Iterator[None]:
    """Have the figures of sheets made otherwise within the block, as by `pyplot.figure`."""
    token = _make.set(make)
    try:
        yield
    finally:
        _make.reset(token)


def _bare(**how: Any) -> Figure:
    with IMPORTING:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(**how)
    FigureCanvasAgg(figure)
    return figure


class Sheet:
    """A figure of `width` by `height` pixels at 150 dpi."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = float(round(width)), float(round(height))
        make = _make.get() or _bare
        self.figure = make(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, plain: bool = False) -> Axes:
        """Add axes; `plain` ones have no frame, and pixels of the sheet from their left upper corner as units."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        if plain:
            axes.set(xlim=(0, width), ylim=(height, 0))
            axes.set_axis_off()
        else:
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(RULE)
            axes.tick_params(labelsize=SMALL, color=RULE, labelcolor=INK, length=3)
        return axes

    @cached_property
    def page(self) -> Axes:
        """Plain axes over the whole sheet: made once, as each takes longer than what is written on it."""
        return self.axes(0, 0, self.width, self.height, plain=True)

    def text(self, x: float, y: float, text: str, size: float = BODY, **more: Any) -> None:
        """Write text, its left upper corner at `x`, `y`."""
        options: dict[str, Any] = {"va": "top", "ha": "left", "color": INK, "parse_math": False} | more
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **options)

    def heading(self, title: str, below: str, left: float = 16) -> None:
        """Write the title and a fainter line below it, shortened to the sheet's width."""
        room = self.width - 2 * left
        self.text(left, 14, shortened(title, TITLE, room, "bold"), TITLE, weight="bold")
        self.text(left, 43, shortened(below, SMALL + 0.5, room), SMALL + 0.5, color=FAINT)

    def png(self) -> bytes:
        """Return the sheet as PNG."""
        with IMPORTING:
            from PIL import Image

        canvas: Any = self.figure.canvas
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a glyph that the font lacks
            canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        data = io.BytesIO()
        # Without the alpha it needs not, and little compressed: smaller, and written in half the time.
        image.save(data, "png", compress_level=COMPRESSION, dpi=(DPI, DPI))
        return data.getvalue()

    def svg(self) -> bytes:
        """Return the sheet as SVG, its text as text."""
        with IMPORTING:
            import matplotlib

        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cellstrata"}):
            data = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
            return data.getvalue()


def boxes(axes: Axes, corners: npt.NDArray[np.float64], colors: Sequence[object]) -> None:
    """Add filled boxes as one artist, many times as fast as one each: (k, 4) left, top, right, bottom."""
    with IMPORTING:
        from matplotlib.collections import PolyCollection

    left, top, right, bottom = np.asarray(corners, float).reshape(-1, 4).T
    x, y = np.column_stack([left, right, right, left]), np.column_stack([top, top, bottom, bottom])
    axes.add_collection(PolyCollection(list(np.dstack([x, y])), facecolors=list(colors), linewidths=0), autolim=False)


HEADING = 78  # pixels that title and line below take


@lru_cache(maxsize=20_000)
def text_size(text: str, size: float = BODY, weight: str = "normal") -> tuple[float, float]:
    """Return width and height in pixels of a line of text; all lines of a size are equally high."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a letter that the font lacks: `unknown_letters` tells of it
        width, _, _ = _renderer().get_text_width_height_descent(text, font_of(size, weight), ismath=False)
    return float(width), size * DPI / 72 * 1.2


def shortened(text: str, size: float, room: float, weight: str = "normal", tail: float = 0.0) -> str:
    """Return text cut to `room` pixels, an ellipsis where something is left out: at the end, or before its `tail`.

    That is a share of the characters that are kept.
    """
    if text_size(text, size, weight)[0] <= room:
        return text

    def cut(kept: int) -> str:
        last = round(tail * kept)
        return f"{text[: kept - last].rstrip()}…{text[len(text) - last :].lstrip()}"

    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_size(cut(middle), size, weight)[0] <= room else (low, middle - 1)
    return cut(low)


def unknown_letters(texts: Iterable[str]) -> str:
    """Return the letters that the figures' font lacks, each once: they are drawn as boxes."""
    with IMPORTING:
        from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(font_of(BODY, "normal")))
    return "".join(letter for letter in sorted(set("".join(texts))) if not font.get_char_index(ord(letter)))


@lru_cache
def _renderer() -> Any:
    with IMPORTING:
        from matplotlib.backends.backend_agg import RendererAgg

    make: Any = RendererAgg
    return make(1, 1, DPI)


@lru_cache
def font_of(size: float, weight: str) -> FontProperties:
    """Return matplotlib's font of a size in points."""
    with IMPORTING:
        from matplotlib.font_manager import FontProperties

    return FontProperties(size=size, weight=weight)
