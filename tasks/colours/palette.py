"""Which colour a category has: distinct ones that colour-blind people tell apart, children in shades of their parent's.

Plain functions without matplotlib; a palette is `{column: {label: "#rrggbb"}}`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.colours.colour_space import (
    BLINDNESS,
    hex_of,
    lab_of,
    lab_of_linear,
    lch_of,
    rgb_of,
    rgb_of_lab,
    to_linear,
)
from cellstrata.tasks.trees.column_facts import ColumnFacts
from cellstrata.tasks.trees.rows import TreeRows

if TYPE_CHECKING:
    import pandas as pd

SCHEME = 2  # counts up when the same categories get other colours
WAS = "was"  # the column of a tree that says so: its ids follow those of an earlier result
MISSING = "#d0d0d0"
LARGEST = 102  # colours that differ; beyond, they come again
# Okabe and Ito (2008), without black, which labels have, and without yellow, which white paper swallows.
FIRST = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")

# Of children: between which lightnesses they are, how far their hue is turned from their parent's (radians), which
# shares of its chroma they have, and how wide borders are: a share of how far apart two parents are.
DARKEST, LIGHTEST, TURN, DULLER, MARGIN = 0.35, 0.88, 0.32, (1.0, 0.8, 0.6), 0.25

Palette = dict[str, dict[str, str]]
Lab = npt.NDArray[np.float64]


def distinct_colors(n: int) -> list[str]:
    """Return `n` colours, `#rrggbb`: the same ones first for any `n`, each as far as can be from those before it.

    Far for eyes with all cones and for those without red or green ones. From 103 on they come again.
    """
    colors = _distinct()
    return [colors[i % LARGEST] for i in range(n)]


def category_palette(labels: Sequence[str]) -> dict[str, str]:
    """Return a colour for each label of a column that is no tree's, in its order."""
    return dict(zip(labels, distinct_colors(len(labels)), strict=True))


def tree_palette(tree: pd.DataFrame, facts: Mapping[str, ColumnFacts]) -> Palette:
    """Return the colours of all clusters of a result.

    `tree` is `uns["clustering"]["tree"]` as `tasks.results.provenance.tree_table` makes it, `facts` are `column_facts`.
    Clusters of level 1 have distinct colours; those below have shades of their parent's, dark to light
    by their number, and no other parent's; an only child has its parent's colour. Where ids follow an earlier result, a
    cluster of level 1 has the colour of its number, and keeps it.
    """
    rows = TreeRows(tree, facts)
    columns = [str(name) for name in dict.fromkeys(tree["column"]) if rows.level(str(name))]
    colored: dict[str, dict[str, _Shade]] = {}
    for column in sorted(columns, key=rows.level):
        clusters = rows.clusters(column)
        *_, above = [None, *rows.above(column)[:-1]]
        parents = {label: str(row["parent"]) for label, row in clusters.items()}
        by_number = WAS in tree.columns and all(label.isdecimal() for label in parents)
        colored[column] = _column(parents, colored.get(above or "", {}), by_number=by_number)
    return {column: {label: shade.color for label, shade in colored[column].items()} for column in columns}


def color_entries(palette: Palette, columns: Mapping[str, pd.Categorical[Any]]) -> dict[str, object]:
    """Return `<column>_colors` for `uns`, in the order of the categories, where scanpy and CELLxGENE look for them."""
    return {
        f"{name}_colors": np.array([palette[name][str(label)] for label in values.categories], dtype=object)
        for name, values in columns.items()
    }


class _Shade(NamedTuple):
    """A colour, and its territory: (k, 3) OKLab of the colours that its children may have."""

    color: str
    territory: Lab


def _column(parents: Mapping[str, str], above: Mapping[str, _Shade], *, by_number: bool) -> dict[str, _Shade]:
    roots = [label for label, parent in parents.items() if parent not in above]
    places = [int(label) for label in roots] if by_number else list(range(len(roots)))
    colors = _roots(max(places, default=-1) + 1)
    shades = {label: colors[place] for label, place in zip(roots, places, strict=True)}
    families: dict[str, list[str]] = defaultdict(list)
    for label, parent in parents.items():
        if parent in above:
            families[parent].append(label)
    for parent, labels in families.items():
        shades |= zip(labels, _children(above[parent], len(labels)), strict=True)
    return {label: shades[label] for label in parents}


def _roots(n: int) -> list[_Shade]:
    """Return distinct colours, each with its shades: those clearly nearer to it than to any other of these colours."""
    colors = distinct_colors(min(n, LARGEST))
    own = lab_of(rgb_of(colors))
    found = [_Shade(color, _nearest(_shades(own[number]), number, own, MARGIN)) for number, color in enumerate(colors)]
    return [found[i % LARGEST] for i in range(n)]


def _children(parent: _Shade, n: int) -> list[_Shade]:
    """Choose `n` colours of the parent's territory, each as far as can be from those before, and share it out."""
    if n == 1:
        return [parent]
    ground = parent.territory
    nearest = np.full(len(ground), np.inf)
    chosen = [int(ground[:, 0].argmin())]
    while len(chosen) < n:
        nearest = np.minimum(nearest, np.linalg.norm(ground - ground[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    own = ground[chosen]
    own = own[np.argsort(own[:, 0], kind="stable")]
    return [_Shade(color, _nearest(ground, number, own, 0)) for number, color in enumerate(hex_of(rgb_of_lab(own)))]


def _shades(lab: Lab) -> Lab:
    """Return what a screen can show of lighter, darker, duller and slightly turned versions of a colour, and itself."""
    ((_, chroma, hue),) = lch_of(lab[None])
    lightness, part, turn = np.meshgrid(
        np.linspace(DARKEST, LIGHTEST, 36), DULLER, np.linspace(-TURN, TURN, 13), indexing="ij"
    )
    a, b = part * chroma * np.cos(hue + turn), part * chroma * np.sin(hue + turn)
    found = np.stack([lightness, a, b], axis=-1).reshape(-1, 3)
    rgb = rgb_of_lab(found)
    return np.vstack([lab[None], found[((rgb >= 0) & (rgb <= 1)).all(axis=1)]])


def _nearest(territory: Lab, number: int, colors: Lab, border: float) -> Lab:
    """Return what of a territory is nearer to one of some colours than to any other; that one at least.

    Nearer by `border`, a share of how far apart both are: at least so far are, then, colours of two territories.
    """
    if len(colors) == 1:
        return territory
    others = np.delete(colors, number, axis=0)
    margin = border * np.linalg.norm(others - colors[number], axis=1)
    to_own = np.linalg.norm(territory - colors[number], axis=1)
    to_others = np.linalg.norm(territory[:, None] - others[None], axis=2)
    mine = territory[(to_others - to_own[:, None] >= margin).all(axis=1)]
    return mine if len(mine) else colors[number : number + 1]


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
