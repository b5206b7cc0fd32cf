"""The partition whose clusters one level splits: which obs column holds it, and its clusters as nodes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cellstrata.configs.errors import listed
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.trees.labels import SEPARATOR, Path, label_of
from cellstrata.tasks.trees.tree import Given, Node

if TYPE_CHECKING:
    import pandas as pd


class NoParent(ValueError):
    """No obs column, or more than one, can be the parent; the message lists them and says what to do."""


@dataclass(frozen=True)
class Parent:
    """An obs column of the level above, and the base resolution in its name, None if it has none."""

    column: str
    resolution: float | None


def find_parent(columns: Sequence[str], algorithm: str, resolution: float, level: int, key: str | None) -> Parent:
    """Find the column that level `level` splits: `{algorithm}_{resolution}_{level - 1}`, or `key`.

    Where one column alone has the algorithm and the level, it is the one, whatever its resolution.

    Raises
    ------
    NoParent
        If there is none, or several and not one of this resolution.
    """
    found = {name: value for name in columns if (value := _resolution(name, f"{algorithm}_", level - 1)) is not None}
    if key is not None:
        if key in columns:
            return Parent(key, _resolution(key, "", level - 1))
        near = difflib.get_close_matches(key, columns, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"obs has {_listed(columns)}"
        raise NoParent(f"obs[{key!r}]: there is no such column (--parent_key); {hint}")
    same = [name for name, value in found.items() if value == resolution]
    chosen = same or list(found)
    if len(chosen) == 1:
        return Parent(chosen[0], found[chosen[0]])
    wanted = f"{algorithm}_…_{level - 1}"
    if not chosen:
        others = _listed([name for name in columns if re.search(r"_\d+$", name)] or columns)
        raise NoParent(
            f"obs: no column {wanted} whose clusters level {level} could split; cluster level {level - 1} first, "
            f"or name a column with --parent_key: obs has {others}"
        )
    raise NoParent(
        f"obs: level {level} could split the clusters of {_listed(chosen)}; choose one by its --resolution, "
        "or name it with --parent_key"
    )


def clusters_of(column: pd.Series, level: int) -> Given:
    """Return a column's clusters as given ones.

    Labels are kept as they are, '001' too; numbers become their text. Cells without a label are in no
    node. The clusters of `3_1` are written so: the path (3, 1); other labels are numbered in their order.

    Raises
    ------
    NoParent
        If the column holds numbers that are not whole, or two labels that are written the same.
    """
    labels, codes = _coded(column)
    if len(set(labels)) < len(labels):
        raise NoParent(f"obs[{column.name!r}]: two of its labels are written the same, as a number and as text")
    paths = [_path(label, level) for label in labels]
    if any(path is None for path in paths) or len(set(paths)) < len(paths):
        paths = [(*[0] * (level - 1), number) for number in range(len(labels))]
    order = np.argsort(codes, kind="stable").astype(np.int32)
    bounds = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    named = {path: label for path, label in zip(paths, labels, strict=True) if path is not None}
    nodes = [
        Node(path, order[start:end])
        for path, start, end in zip(named, bounds[:-1], bounds[1:], strict=True)
        if end > start
    ]
    return Given(str(column.name), level, named, nodes)


def _coded(column: pd.Series) -> tuple[list[str], np.ndarray]:
    """Return the labels in use and for each cell the number of its own, -1 without one."""
    with IMPORTING:
        import pandas as pd

    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    column = column.cat.remove_unused_categories()
    values = list(column.cat.categories)
    if column.cat.categories.dtype.kind == "f":
        if not all(float(value).is_integer() for value in values):
            raise NoParent(f"obs[{column.name!r}]: holds numbers that are not whole, so no clusters")
        values = [int(value) for value in values]
    return [str(value) for value in values], np.asarray(column.cat.codes, dtype=np.int64)


def _path(label: str, level: int) -> Path | None:
    parts = label.split(SEPARATOR)
    if len(parts) != level or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    path = tuple(map(int, parts))
    return path if label_of(path) == label else None


def _resolution(name: str, prefix: str, level: int) -> float | None:
    """Read the resolution in a column's name, None if it is not `{prefix}{resolution}_{level}`."""
    found = re.fullmatch(rf"{re.escape(prefix)}{'' if prefix else '.+?_'}([0-9.eE+-]+)_{level}", name)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def _listed(names: Sequence[str], most: int = 6) -> str:
    return listed(names, most) or "no columns"
