"""Two groupings of the same cells in one figure: a heat map of what they share, and where cells go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.compared_results import ComparedPair
from cellstrata.tasks.evaluation.comparison import Comparison
from cellstrata.tasks.evaluation.flow_layout import MOST_GROUPS, Arrangement, Flow, FlowNode, arranged, flow, heat
from cellstrata.tasks.figures.labels import write_all
from cellstrata.tasks.figures.sheet import FAINT, HEADING, INK, SMALL, Sheet, boxes, shortened, text_size
from cellstrata.tasks.imports.turns import IMPORTING

LEAST, MOST = 17, 44  # pixels of a square
PANEL = 620  # pixels that squares or a flow take at most, as far as may be
ROOM = 240  # of a name
BAR = 14  # pixels of a group in the flow
LINE = 19.0  # pixels from one name in the flow to the next, at least
STEPS = 24  # of a ribbon's edge
SLANTED = 26  # pixels of a square above which a name can lie slanted
NUMBERS = 30  # pixels of a square that has room for a number
LIGHT = 0.5  # from here on a square is light


def comparison_sheet(pair: ComparedPair) -> Sheet:
    """Draw how two groupings share cells: the Jaccard index of their groups, and the flow between them."""
    comparison, first, second = pair.comparison, pair.first.title, pair.second.title
    shown = arranged(comparison)
    values = heat(comparison, shown)
    square = float(np.clip(PANEL / max(values.shape), LEAST, MOST))
    rows = [shortened(comparison.first.labels[at], SMALL, ROOM) for at in shown.rows]
    columns = [shortened(comparison.second.labels[at], SMALL, ROOM) for at in shown.columns]
    left = 22 + _widest(rows) + 12
    upright = square < SLANTED
    above = _widest(columns) * (1 if upright else 0.72) + 26
    top = HEADING + max(above, 34)
    wide, high = square * values.shape[1], square * values.shape[0]
    flow_wide, flow_high = (
        420.0,
        max(high + top - HEADING - 34, 480.0, LINE * (MOST_GROUPS + 1) * (max(values.shape) > 28)),
    )
    drawn = flow(comparison, shown, LINE / flow_high)
    flow_left = left + max(wide + (0 if upright else above * 0.6), 200) + _widest([_named(node) for node in drawn.left])
    flow_left += 40
    right = flow_left + flow_wide + _widest([_named(node) for node in drawn.right]) + 30
    sheet = Sheet(right, max(top + high + 84, HEADING + 34 + flow_high + 24))
    _heat_map(sheet, values, rows, columns, left, top, square, 90 if upright else 45)
    _flow(sheet, drawn, flow_left, HEADING + 34, flow_wide, flow_high)
    below = top + high + 30
    sheet.text(22, below, f"rows: {shortened(first, SMALL, 400)}", SMALL, color=FAINT)
    sheet.text(22, below + 24, f"columns: {shortened(second, SMALL, 400)}", SMALL, color=FAINT)
    for x, name, align in ((flow_left, first, "left"), (flow_left + flow_wide, second, "right")):
        sheet.text(x, HEADING + 2, shortened(name, SMALL, flow_wide / 2 - 8), SMALL, color=FAINT, ha=align)
    sheet.heading(pair.title, _said(comparison, shown))
    return sheet


def _said(comparison: Comparison, shown: Arrangement) -> str:
    found = comparison.agreement
    lost = f", {comparison.left_out.n_cells:,} without a value left out" if comparison.left_out.n_cells else ""
    more = shown.more_rows + shown.more_columns
    small = f"; without the {more} smallest groups" if more else ""
    return (
        f"ARI {found.ari:z.2f}   NMI {found.nmi:.2f}   element-centric {comparison.similarity:.2f}   "
        f"{found.n_cells:,} cells{lost}; squares: Jaccard index{small}"
    )


def _heat_map(
    sheet: Sheet, values: npt.NDArray[np.float64], rows: list[str], columns: list[str], left: float, top: float,
    square: float, turn: int,
) -> None:  # fmt: skip
    axes = sheet.axes(left, top, square * len(columns), square * len(rows), plain=True)
    y, x = (place.ravel() * square for place in np.indices(values.shape))
    edge = 1 if square > 12 else 0.5
    shades = _map()
    colors = [shades(value) if value else "#eeeeee" for value in values.ravel()]
    boxes(axes, np.column_stack([x + edge, y + edge, x + square - edge, y + square - edge]), colors)
    middles = (np.arange(len(rows)) + 0.5) * square
    write_all(axes, -8, middles, rows, SMALL, align="right")
    if square >= NUMBERS:
        for color, those in (("white", (values > 0.005) & (values < LIGHT)), (INK, values >= LIGHT)):
            row, column = those.nonzero()
            texts = [f"{value:.2f}".lstrip("0") if value < 1 else "1" for value in values[row, column]]
            write_all(axes, (column + 0.5) * square, middles[row], texts, SMALL - 0.8, color, align="center")
    for place, name in enumerate(columns):
        axes.text(
            (place + 0.5) * square, -8, name, fontsize=SMALL, color=INK, rotation=turn, ha="left",
            va="center" if turn == 90 else "bottom", rotation_mode="anchor", parse_math=False,
        )  # fmt: skip


def _flow(sheet: Sheet, drawn: Flow, left: float, top: float, wide: float, high: float) -> None:
    with IMPORTING:
        from matplotlib.collections import PolyCollection

    axes = sheet.axes(left, top, wide, high, plain=True)
    part = np.linspace(0, 1, STEPS)
    bend = part * part * (3 - 2 * part)
    x = BAR + 2 + part * (wide - 2 * BAR - 4)
    shapes = [
        np.column_stack([
            np.concatenate([x, x[::-1]]),
            high * np.concatenate([
                one.left_top + bend * (one.right_top - one.left_top),
                (one.left_bottom + bend * (one.right_bottom - one.left_bottom))[::-1],
            ]),
        ])
        for one in drawn.ribbons
    ]  # fmt: skip
    colors = [drawn.left[one.left].color for one in drawn.ribbons]
    axes.add_collection(PolyCollection(shapes, facecolors=colors, alpha=0.45, linewidths=0), autolim=False)
    for nodes, start, align, beside in ((drawn.left, 0.0, "right", -8.0), (drawn.right, wide - BAR, "left", wide + 8)):
        corners = [(start, high * node.top, start + BAR, high * node.bottom) for node in nodes]
        boxes(axes, np.array(corners), [node.color for node in nodes])
        middles = np.array([high * (node.top + node.bottom) / 2 for node in nodes])
        write_all(axes, beside, middles, [_named(node) for node in nodes], SMALL, align=align)  # type: ignore[arg-type]


def _named(node: FlowNode) -> str:
    return f"{shortened(node.label, SMALL, ROOM)}  {node.n_cells:,}"


def _widest(names: list[str]) -> float:
    return max((text_size(name, SMALL)[0] for name in names), default=0.0)


def _map() -> Any:
    with IMPORTING:
        import matplotlib

    return matplotlib.colormaps["viridis"]
