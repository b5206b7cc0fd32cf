"""Which colour a category has: distinct ones that colour-blind people tell apart, children in shades of their parent's.

Plain functions without matplotlib; a palette is `{column: {label: "#rrggbb"}}`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tasks.figures.colour_space import BLINDNESS, hex_of, lab_of, lab_of_linear, lch_of, rgb_of, shown, to_linear
from tasks.tree_rows import TreeRows

if TYPE_CHECKING:
    import pandas as pd

SCHEME = 1  # counts up when the same categories get other colours
MISSING = "#d0d0d0"
LARGEST = 102  # colours that differ; beyond, they come again
# Okabe and Ito (2008), without black, which labels have, and without yellow, which white paper swallows.
FIRST = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")

Palette = dict[str, dict[str, str]]


def distinct_colors(n: int) -> list[str]:
    """Return `n` colours, `#rrggbb`: the same ones first for any `n`, each as far as can be from those before it.

    Far for eyes with all cones and for those without red or green ones. From 103 on they come again.
    """
    colors = _distinct()
    return [colors[i % LARGEST] for i in range(n)]


def category_palette(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each label of a column that is no tree's, in its order."""
    return dict(zip(labels, distinct_colors(len(labels)), strict=True))


def tree_palette(tree: pd.DataFrame, facts: Mapping[str, Mapping[str, object]]) -> Palette:
    """Return the colours of all clusters of a result.

    `tree` is `uns['clustering']['tree']` (`tasks.provenance.tree_table`), `facts` are `column_facts`.
    Clusters of level 1 have distinct colours; those below have shades of their parent's, dark to light
    by their number; an only child has its parent's colour.
    """
    rows = TreeRows(tree, facts)
    columns = [str(name) for name in dict.fromkeys(tree["column"]) if rows.level(str(name))]
    colored: dict[str, dict[str, _Shade]] = {}
    for column in sorted(columns, key=rows.level):
        clusters = rows.clusters(column)
        *_, above = [None, *rows.above(column)[:-1]]
        parents = {label: str(row["parent"]) for label, row in clusters.items()}
        colored[column] = _column(parents, colored.get(above or "", {}))
    return {column: {label: shade.color for label, shade in colored[column].items()} for column in columns}


def color_entries(palette: Palette, columns: Mapping[str, pd.Categorical[Any]]) -> dict[str, Any]:
    """Return `<column>_colors` for `uns`, in the order of the categories, where scanpy and CELLxGENE look for them."""
    return {
        f"{name}_colors": np.array([palette[name][str(label)] for label in values.categories], dtype=object)
        for name, values in columns.items()
    }


class _Shade(NamedTuple):
    """A colour, and within which lightness and hue (radians, about its own) its children's lie."""

    color: str
    low: float
    high: float
    hue: float
    chroma: float
    turn: float


DARKEST, LIGHTEST, TURN = 0.38, 0.86, 0.26


def _column(parents: Mapping[str, str], above: Mapping[str, _Shade]) -> dict[str, _Shade]:
    roots = [label for label, parent in parents.items() if parent not in above]
    shades = dict(zip(roots, map(_root, distinct_colors(len(roots))), strict=True))
    families: dict[str, list[str]] = defaultdict(list)
    for label, parent in parents.items():
        if parent in above:
            families[parent].append(label)
    for parent, labels in families.items():
        shades |= zip(labels, _children(above[parent], len(labels)), strict=True)
    return {label: shades[label] for label in parents}


def _root(color: str) -> _Shade:
    ((_, chroma, hue),) = lch_of(lab_of(rgb_of([color])))
    return _Shade(color, DARKEST, LIGHTEST, float(hue), float(chroma), TURN)


def _children(parent: _Shade, n: int) -> list[_Shade]:
    """Cut the parent's lightness into `n` parts; hues go to one side and the other, so that neighbours differ more."""
    if n == 1:
        return [parent]
    edges = np.linspace(parent.low, parent.high, n + 1)
    found = []
    for number, (low, high) in enumerate(pairwise(edges)):
        hue = parent.hue + parent.turn * (0.5 if number % 2 else -0.5)
        # Pale and dark colours are dull at best; a dull parent's children stay as dull.
        color = shown(float(low + high) / 2, parent.chroma, hue)
        found.append(_Shade(color, float(low), float(high), hue, parent.chroma, parent.turn / 2))
    return found


@cache
def _distinct() -> tuple[str, ...]:
    """Farthest-first over a grid of colours neither pale nor dark nor grey nor glaring."""
    steps = np.linspace(0, 1, 18)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    lightness, chroma, _ = lch_of(lab_of(grid)).T
    grid = np.vstack(
        [rgb_of(list(FIRST)), grid[(lightness > 0.4) & (lightness < 0.84) & (chroma > 0.06) & (chroma < 0.155)]]
    )
    light = to_linear(grid)
    views = [lab_of_linear(light), *(lab_of_linear(np.clip(light @ m.T, 0, 1)) for m in BLINDNESS.values())]
    weights = (1.0, 0.6, 0.6)
    nearest = np.full(len(grid), np.inf)
    chosen: list[int] = []
    for number in range(LARGEST):
        new = number if number < len(FIRST) else int(nearest.argmax())
        chosen.append(new)
        apart = [w * np.linalg.norm(view - view[new], axis=1) for w, view in zip(weights, views, strict=True)]
        nearest = np.minimum(nearest, np.mean(apart, axis=0) + np.min(apart, axis=0))
    return tuple(hex_of(grid[chosen]))
