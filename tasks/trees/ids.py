"""The ids of clusters where they follow those of an earlier result; without one, clusters are numbered by size."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cellstrata.configs.errors import listed
from cellstrata.tasks.trees.labels import Path

# The columns that the table of a tree has for it; empty values are those of a cluster of which nothing is known.
COLUMNS = {"was": "", "overlap": float("nan"), "new": True, "split_from": "", "merged_from": ""}
MOST_COLUMNS = 6  # that a notice names


@dataclass(frozen=True, kw_only=True)
class Kinship:
    """Which clusters of an earlier result a cluster has its cells from, by the cells of both.

    `was` is the one whose id it has, else the one with which it shares most; empty if it shares none. `overlap` is the
    Jaccard index with that one, None without. `new` tells that its id is not in the earlier result. `split_from` is the
    one that was split into this and others, `merged_from` are those that were merged into this, two or more.
    """

    was: str = ""
    overlap: float | None = None
    new: bool = True
    split_from: str = ""
    merged_from: tuple[str, ...] = ()

    def to_row(self) -> dict[str, object]:
        """Return the values of `COLUMNS`."""
        overlap = float("nan") if self.overlap is None else self.overlap
        return {**vars(self), "overlap": overlap, "merged_from": ", ".join(self.merged_from)}


def kinship_of(row: Mapping[str, Any]) -> Kinship | None:
    """Read what a row of a tree's table tells of a cluster's ids; None where they do not follow an earlier result."""
    if "was" not in row:
        return None
    merged = tuple(label for label in str(row["merged_from"]).split(", ") if label)
    overlap = float(row["overlap"])
    return Kinship(
        was=str(row["was"]),
        overlap=None if math.isnan(overlap) else overlap,
        new=bool(row["new"]),
        split_from=str(row["split_from"]),
        merged_from=merged,
    )


@dataclass(frozen=True, kw_only=True)
class TreeIds:
    """The ids of a tree's clusters: their numbers by those by size, and what they were, by path.

    `retired` are ids of each column that no cluster has any more, and none gets again.
    """

    numbers: Mapping[Path, Path]
    kin: Mapping[Path, Kinship]
    retired: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Match:
    """The earlier result after which clusters are numbered: where it is, its identity, and when it was written.

    `shared` cells are in both by their names, `only_here` and `only_there` in one of them. `carried` are retired ids of
    columns that are not made here.
    """

    result: str
    publish_key: str
    created: str
    shared: int
    only_here: int
    only_there: int
    carried: Mapping[str, tuple[str, ...]]

    def to_json(self, retired: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
        """Return what a result says of it; `retired` are the ids of all columns that are not given again."""
        cells = {"shared": self.shared, "only_here": self.only_here, "only_there": self.only_there}
        own = {"result": self.result, "publish_key": self.publish_key, "created": self.created}
        return {**own, "cells": cells, "retired": {column: list(labels) for column, labels in retired.items()}}


def all_retired(match: Match, made: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return by column the ids that are not given again: of the columns that are `made`, and those that are carried."""
    return {column: labels for column, labels in sorted({**match.carried, **made}.items()) if labels}


def new_ids_notice(match: Match, kin: Mapping[str, Collection[Kinship]]) -> str | None:
    """Say how many clusters of which columns have new ids; None where all have those of the earlier result."""
    new = {column: sum(one.new for one in clusters) for column, clusters in kin.items()}
    n = sum(map(len, kin.values()))
    if not any(new.values()):
        return None
    where = listed([f"{column} ({new[column]} of {len(kin[column])})" for column in kin if new[column]], MOST_COLUMNS)
    return f"{n - sum(new.values())} of {n} clusters keep their ids of {match.result}; new ones are in {where}"
