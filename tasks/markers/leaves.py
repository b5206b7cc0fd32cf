"""Leaves: the finest groups of cells, of which the clusters of several columns are made; sums over them add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class LeafSet:
    """Columns that share leaves. `columns` are their places among all, `codes` (n,) int32 is the leaf of each cell.

    `labels`, (columns, leaves) int32, is the cluster of each leaf in each column, -1 where its cells have none.
    """

    columns: tuple[int, ...]
    codes: Codes
    labels: Codes

    @property
    def n_leaves(self) -> int:
        """How many leaves there are; every cell is in one."""
        return int(self.labels.shape[1])

    def leaves(self, column: int, clusters: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return the leaves of some clusters of a column, ascending."""
        return np.flatnonzero(np.isin(self.labels[self.columns.index(column)], clusters))


def leaf_sets(columns: Sequence[Codes]) -> tuple[LeafSet, ...]:
    """Put columns together whose clusters lie within one another, as the levels of a tree do.

    `columns` are the cluster of each cell, (n,) int32, -1 for none. Columns join where they then have no more leaves
    than apart: two independent ones of 60 clusters would have 3,600.
    """
    found: list[LeafSet] = []
    for place, codes in enumerate(columns):
        own = _one(place, codes)
        for number, there in enumerate(found):
            joint = _joint(there, own)
            if joint.n_leaves <= there.n_leaves + own.n_leaves:
                found[number] = joint
                break
        else:
            found.append(own)
    return tuple(found)


def _one(place: int, codes: Codes) -> LeafSet:
    labels, leaves = _distinct(np.asarray(codes, dtype=np.int64) + 1)
    return LeafSet((place,), leaves, (labels - 1).astype(np.int32)[None, :])


def _joint(one: LeafSet, other: LeafSet) -> LeafSet:
    pairs, leaves = _distinct(one.codes.astype(np.int64) * other.n_leaves + other.codes)
    first, second = np.divmod(pairs, other.n_leaves)
    return LeafSet(one.columns + other.columns, leaves, np.vstack([one.labels[:, first], other.labels[:, second]]))


def _distinct(values: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Codes]:
    """Return the distinct values, ascending, and for each value the place of its own among them."""
    if values.size and (most := int(values.max())) < max(1 << 16, 4 * len(values)):  # without sorting
        there = np.bincount(values, minlength=most + 1) > 0
        return np.flatnonzero(there), (np.cumsum(there, dtype=np.int32) - 1)[values].astype(np.int32, copy=False)
    distinct, places = np.unique(values, return_inverse=True)
    return distinct, places.astype(np.int32)
