"""Which clusters are compared with which: each with its sisters, and each with all other cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cellstrata.configs.markers import Against


@dataclass(frozen=True, eq=False)
class ClusterColumn:
    """A column of clusters. `codes` (n,) int32 is the cluster of each cell, -1 for none; `labels` and `parents` are
    those of each cluster, the parent's label empty at level 1."""

    name: str
    codes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    parents: tuple[str, ...]

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many cells each cluster has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))

    @cached_property
    def children(self) -> dict[str, tuple[int, ...]]:
        """The clusters of each parent that have cells, by their numbers; parents are compared as a whole, so that
        `1_1` is no relative of `1_10`."""
        found: dict[str, list[int]] = {}
        for cluster in np.flatnonzero(self.sizes).tolist():
            found.setdefault(self.parents[cluster], []).append(cluster)
        return {parent: tuple(clusters) for parent, clusters in found.items()}

    def sisters(self, cluster: int) -> tuple[int, ...]:
        """Return the other clusters of the same parent."""
        return tuple(other for other in self.children[self.parents[cluster]] if other != cluster)


@dataclass(frozen=True)
class Contrast:
    """A cluster of a column, by their numbers, and what it is compared with."""

    column: int
    cluster: int
    against: Against


def contrasts(
    columns: Sequence[ClusterColumn], against: Sequence[Against], min_cells: int
) -> tuple[list[Contrast], list[str]]:
    """Return what is compared, and what is left out, a sentence for each column and reason.

    A cluster, or a rest, of fewer than `min_cells` cells is left out. A single child has no sisters.
    """
    found: list[Contrast] = []
    said: list[str] = []
    for place, column in enumerate(columns):
        sizes, small, alone, few = column.sizes, [], [], []
        for cluster in np.flatnonzero(sizes).tolist():
            if sizes[cluster] < min_cells:
                small.append(cluster)
                continue
            sisters = column.sisters(cluster)
            rests = {"sisters": int(sizes[list(sisters)].sum()), "all": int(len(column.codes) - sizes[cluster])}
            for what in against:
                if what == "sisters" and not sisters:
                    alone.append(cluster)
                elif rests[what] < min_cells:
                    few.append(cluster)
                else:
                    found.append(Contrast(place, cluster, what))
        for clusters, reason in (
            (small, f"fewer than {min_cells} cells, so no markers"),
            (alone, "no sisters to be compared with"),
            (few, f"fewer than {min_cells} cells to be compared with"),
        ):
            if names := [column.labels[cluster] for cluster in dict.fromkeys(clusters)]:
                more = f" and {len(names) - 5} more" if len(names) > 5 else ""
                said.append(f"{column.name}: {', '.join(names[:5])}{more} {_have(names)} {reason}")
    return found, said


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
