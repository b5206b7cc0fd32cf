"""Which genes the children of a split have over one another: each pair of them compared, both ways."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.configs.evidence import MOST_MARKERS
from cellstrata.tasks.markers.false_discovery import benjamini_hochberg
from cellstrata.tasks.markers.fold_change import log_fold_change
from cellstrata.tasks.markers.moments import Group
from cellstrata.tasks.markers.t_test import welch

Floats = npt.NDArray[np.float64]
SCHEME = 1  # raise it when the same values give other numbers
SURE = 0.05  # adjusted p of a marker is below it
FEWEST = 2  # cells of a child: of one nothing is known of its spread


@dataclass(frozen=True)
class TellingGenes:
    """How many markers children have, at some fold change.

    Attributes
    ----------
    numbers : tuple of int
        For each child those that it has over the sister from which it is told best, at most `MOST_MARKERS`.
    mutual : int
        Those of the pair of children that is told apart best: so many has each of the two over the other.
    """

    numbers: tuple[int, ...]
    mutual: int


@dataclass(frozen=True, eq=False)
class ChildMarkers:
    """The markers that each of `n_children` has over each other.

    `changes` has, by the numbers of a child and of a sister, the log2 fold changes of the genes of which the child has
    surely more, (genes,) float64, the highest first, `MOST_MARKERS` of them at most.
    """

    n_children: int
    changes: Mapping[tuple[int, int], Floats]

    def counts(self, fold_change: float) -> npt.NDArray[np.int64]:
        """Return how many markers of at least this log2 fold change each child has over each, (children, children)."""
        found = np.zeros((self.n_children, self.n_children), np.int64)
        for pair, changes in self.changes.items():
            found[pair] = np.count_nonzero(changes >= fold_change)
        return found

    def telling(self, fold_change: float) -> TellingGenes:
        """Return how many markers of at least this log2 fold change tell children apart."""
        counts = self.counts(fold_change)
        mutual = np.minimum(counts, counts.T)
        # The sister from which a child is told best; of equal ones that over which it has more itself, then the first.
        others = mutual * (MOST_MARKERS + 1) + counts
        np.fill_diagonal(others, -1)
        best = others.argmax(axis=1)
        return TellingGenes(tuple(counts[np.arange(self.n_children), best].tolist()), int(mutual.max(initial=0)))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return `lengths` (children × (children - 1),) int64 and `log_fold_changes` (genes,) float64, pair by pair."""
        changes = [self.changes[pair] for pair in itertools.permutations(range(self.n_children), 2)]
        lengths = np.array([len(each) for each in changes], np.int64)
        return {"lengths": lengths, "log_fold_changes": np.concatenate([np.empty(0), *changes])}

    @classmethod
    def from_arrays(cls, n_children: int, lengths: npt.NDArray[np.int64], log_fold_changes: Floats) -> ChildMarkers:
        """Read what `to_arrays` made. Raises ValueError if it is not that."""
        pairs = list(itertools.permutations(range(n_children), 2))
        if len(lengths) != len(pairs) or int(lengths.sum()) != len(log_fold_changes):
            raise ValueError(f"{len(lengths)} comparisons and {len(log_fold_changes)} genes do not fit {n_children}")
        return cls(n_children, dict(zip(pairs, np.split(log_fold_changes, np.cumsum(lengths)[:-1]), strict=True)))


def child_markers(children: Sequence[Group], log_base: float | None = None) -> ChildMarkers:
    """Find the markers that each child of a split has over each of its sisters, from their moments.

    A gene is one where Welch's t-test of the logarithms has p below 0.05 (two-sided; adjusted for all genes by
    Benjamini and Hochberg), and the child has more. The log2 fold change is scanpy's (`log_fold_change`); `log_base` is
    that of the logarithms. A child of a single cell has none, and nothing is a marker against it.

    Comparing pairs, both ways, is scrattch.hicat's way to tell which clusters stay apart (`de_all_pairs` and
    `test_merge` with `merge.type="directional"`; Tasic et al. 2018): two sisters that are alike do not hide what tells
    them from a third.
    """
    none = np.empty(0)
    changes: dict[tuple[int, int], Floats] = dict.fromkeys(itertools.permutations(range(len(children)), 2), none)
    for one, other in itertools.combinations(range(len(children)), 2):
        if min(children[one].n, children[other].n) < FEWEST:
            continue
        _, p = welch(children[one], children[other])
        sure = np.flatnonzero(benjamini_hochberg(p) < SURE)
        found = log_fold_change(children[one].means[sure], children[other].means[sure], log_base)
        changes[one, other], changes[other, one] = _highest(found), _highest(-found)
    return ChildMarkers(len(children), changes)


def _highest(changes: Floats) -> Floats:
    positive = np.sort(changes[changes > 0])[::-1]
    return np.ascontiguousarray(positive[:MOST_MARKERS])
