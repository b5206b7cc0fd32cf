"""What an export writes: columns of clusters, or of the names that were given to them, and the trees that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.colours.palette import MISSING, Palette, tree_palette
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.reading import obs_names, read_obs_column
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.results.name_columns import NAME
from cellstrata.tasks.results.record import ResultRecord
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.trees.nesting import NotNested, parents_of

MOST_NAMES = 8


@dataclass(frozen=True)
class Group:
    """Clusters that a curation gave one name, with its term of an ontology and its color, where it has them."""

    clusters: tuple[str, ...]
    name: str
    ontology: str | None = None
    color: str | None = None


@dataclass(frozen=True, eq=False)
class Level:
    """A column of obs: the clusters of a level, or their names.

    `codes` (n,) int32 are the label of each cell, -1 where it has none, into `labels`, in the order of the tree; each
    label has a cell, a color, and the clusters that it stands for. `parents` are the numbers of the labels of the level
    above, -1 at the first. `groups` are what a curation says of each label of names, empty for clusters.
    """

    column: str
    of: str
    codes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    colors: tuple[str, ...]
    parents: npt.NDArray[np.int32]
    groups: tuple[Group, ...] = ()

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many cells each label has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))


@dataclass(frozen=True, eq=False)
class Exported:
    """A result, the columns of clusters that are exported of it, and whether trees are of clusters that have names."""

    record: ResultRecord
    columns: tuple[str, ...]
    ids: bool = False

    @cached_property
    def names(self) -> npt.NDArray[np.object_]:
        """The names of the cells, (n,) object."""
        with self.record.source.root() as root, reading(self.record.url, "obs"):
            return obs_names(root)

    @cached_property
    def palette(self) -> Palette:
        """The color of each cluster, by column and label."""
        return tree_palette(self.record.tree, self.record.facts)

    @cached_property
    def groups(self) -> Mapping[str, tuple[Group, ...]]:
        """What the latest curation says of each column that one has named, in the order of the clusters."""
        found: dict[str, tuple[Group, ...]] = {}
        for entry in self.record.curations:
            for column, of_column in entry.get("groups", {}).items():
                if f"{column}{NAME}" in self.record.obs:
                    found[column] = tuple(
                        Group(tuple(one["clusters"]), str(one["name"]), one.get("ontology"), one.get("color"))
                        for one in of_column
                    )
        return found

    def check_unchanged(self) -> None:
        """See, when all is read and before it is written, that the result is still what it was. Raises InputError."""
        self.record.source.check_unchanged()

    def own(self) -> tuple[str, ...]:
        """Return all columns of obs that cellstrata or a curation made, exported or not."""
        made = [name for name in self.record.columns() if name in self.record.obs]
        given = [new for entry in self.record.curations for of in entry.get("new", {}).values() for new in of]
        return tuple(dict.fromkeys([*made, *(name for name in given if name in self.record.obs)]))

    def clusters(self, column: str) -> Level:
        """Read a column of clusters; labels that no cell has are left out."""
        with self.record.source.root() as root, reading(self.record.url, f"obs[{column!r}]"):
            values = read_obs_column(root, column).astype("category")
        codes, own = values.cat.codes.to_numpy(), self.palette.get(column, {})
        stored = [str(label) for label in values.cat.categories]
        order = {label: number for number, label in enumerate(self.record.rows.clusters(column))}
        there = np.bincount(codes[codes >= 0], minlength=len(stored)) > 0
        kept = [number for number, any_ in enumerate(there) if any_]
        kept.sort(key=lambda number: (order.get(stored[number], len(order)), number))
        labels = tuple(stored[number] for number in kept)
        number_of = np.full(len(stored) + 1, -1, np.int32)  # the last is found by -1, no label
        number_of[kept] = np.arange(len(kept), dtype=np.int32)
        colors = tuple(own.get(label, MISSING) for label in labels)
        return Level(column, column, number_of[codes], labels, colors, np.full(len(labels), -1, np.int32))

    def named(self, clusters: Level) -> Level | None:
        """Return the names of a column of clusters, None where a curation gave none."""
        groups = self.groups.get(clusters.of)
        if groups is None:
            return None
        cells = dict(zip(clusters.labels, clusters.counts().tolist(), strict=True))
        kept = tuple(one for one in groups if any(cells.get(label) for label in one.clusters))
        number = {label: at for at, one in enumerate(kept) for label in one.clusters}
        codes = np.array([*(number.get(label, -1) for label in clusters.labels), -1], np.int32)[clusters.codes]
        shade = dict(zip(clusters.labels, clusters.colors, strict=True))
        colors = tuple(one.color or next(shade[each] for each in one.clusters if each in shade) for one in kept)
        return Level(
            f"{clusters.of}{NAME}", clusters.of, codes, tuple(one.name for one in kept), colors,
            np.full(len(kept), -1, np.int32), kept,
        )  # fmt: skip

    def trees(self) -> list[tuple[Level, ...]]:
        """Return the trees that the columns are of, each from its first level down to the last that is exported.

        Levels have names in the place of clusters where these were given, unless `ids`.

        Raises
        ------
        InputError
            If the labels of a level do not lie within those of the level above.
        """
        ways = [tuple(name for name in self.record.rows.above(column) if name in self.record.obs)
                for column in self.columns]  # fmt: skip
        longest = [
            way for way in dict.fromkeys(ways) if not any(way == other[: len(way)] for other in ways if way != other)
        ]
        return [self._tree(way) for way in longest]

    def _tree(self, columns: Sequence[str]) -> tuple[Level, ...]:
        levels: list[Level] = []
        for column in columns:
            clusters = self.clusters(column)
            one = clusters if self.ids else self.named(clusters) or clusters
            levels.append(self._within(levels[-1], one) if levels else one)
        return tuple(levels)

    def _within(self, above: Level, level: Level) -> Level:
        """Return a level with its parents, families together in the order of the parents."""
        try:
            parents = parents_of(above.codes, level.codes, len(level.labels))
        except NotNested as error:
            label = level.labels[error.straddling.label]
            message = (
                f"{label!r} lies within no single label of obs[{above.column!r}]; was one of them changed by hand?"
            )
            raise InputError(self.record.url, f"obs[{level.column!r}]", message) from None
        order = np.argsort(parents, kind="stable")
        back = np.empty(len(order) + 1, np.int32)
        back[order], back[-1] = np.arange(len(order), dtype=np.int32), -1
        chosen: list[int] = order.tolist()
        return Level(
            level.column, level.of, back[level.codes], tuple(level.labels[one] for one in chosen),
            tuple(level.colors[one] for one in chosen), parents[order],
            tuple(level.groups[one] for one in chosen) if level.groups else (),
        )  # fmt: skip


def exported(record: ResultRecord, asked: Sequence[str] = (), *, ids: bool = False) -> Exported:
    """Choose columns of clusters of a result, all where none are asked for.

    Raises
    ------
    InputError
        If the result has no such column, or none at all.
    """
    there = [name for name in record.columns() if name in record.obs]
    if not there:
        raise InputError(record.url, "obs", "has no column of clusters of cellstrata any more; give the result itself")
    given = {new: column for entry in record.curations for column, of in entry.get("new", {}).items() for new in of}
    for name in asked:
        if name not in there:
            hint = f"its names come with the column of clusters, {given[name]}" if name in given else (
                did_you_mean(name, there) or f"there is {listed(there, MOST_NAMES)}"
            )  # fmt: skip
            raise InputError(record.url, f"obs[{name!r}]", f"is no column of clusters; {hint}")
    return Exported(record, tuple(dict.fromkeys(asked)) or tuple(there), ids)


def one_tree(found: Exported, to: str) -> tuple[Level, ...]:
    """Return the only tree of what is exported.

    Raises
    ------
    InputError
        If there are several.
    """
    trees = found.trees()
    if len(trees) > 1:
        last = listed([tree[-1].of for tree in trees], MOST_NAMES)
        message = f"has {len(trees)} trees, and a file of {to} holds one; name the last column of one, of {last}"
        raise InputError(found.record.url, "", f"{message}: `--columns {trees[0][-1].of}`")
    return trees[0]


def factor(level: Level) -> Any:
    """Return a level as a pandas categorical of strings, with its labels in their order."""
    with IMPORTING:
        import pandas as pd

    return pd.Categorical.from_codes(level.codes, categories=pd.Index(list(level.labels), dtype=object))
