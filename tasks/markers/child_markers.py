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
FEWEST = 10  # cells of a child that takes part: fewer can be told from nobody, and would join what is apart


@dataclass(frozen=True)
class TellingGenes:
    """How many markers children have, at some fold change.

    Attributes
    ----------
    numbers : tuple of int
        For each child those that it has over the sister from which it is told least, at most `MOST_MARKERS`; 0 for one
        of fewer than `FEWEST` cells.
    mutual : int
        The most that can be asked for, of each over each, so that children which are told apart by fewer count as one
        and not all are one. Of two children it is the smaller number.
    """

    numbers: tuple[int, ...]
    mutual: int


@dataclass(frozen=True, eq=False)
class ChildMarkers:
    """The markers that each child has over each other; `sizes` are the cells of children.

    `changes` has, by the numbers of a child and of a sister, the log2 fold changes of the genes of which the child has
    surely more, (genes,) float64, the highest first, `MOST_MARKERS` of them at most.
    """

    sizes: tuple[int, ...]
    changes: Mapping[tuple[int, int], Floats]

    def counts(self, fold_change: float) -> npt.NDArray[np.int64]:
        """Return how many markers of at least this log2 fold change each child has over each, (children, children)."""
        found = np.zeros((len(self.sizes), len(self.sizes)), np.int64)
        for pair, changes in self.changes.items():
            found[pair] = np.count_nonzero(changes >= fold_change)
        return found

    def telling(self, fold_change: float) -> TellingGenes:
        """Return how many markers of at least this log2 fold change tell children apart."""
        numbers = np.zeros(len(self.sizes), np.int64)
        taking = np.flatnonzero(np.array(self.sizes) >= FEWEST)
        if len(taking) < 2:
            return TellingGenes(tuple(numbers.tolist()), 0)
        counts = self.counts(fold_change)[np.ix_(taking, taking)]
        mutual = np.minimum(counts, counts.T)
        # The sister from which a child is told least; of equal ones that over which it has fewer itself.
        others = mutual * (MOST_MARKERS + 1) + counts
        np.fill_diagonal(others, np.iinfo(others.dtype).max)
        nearest = others.argmin(axis=1)
        numbers[taking] = counts[np.arange(len(taking)), nearest]
        return TellingGenes(tuple(numbers.tolist()), _last_join(mutual))

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return `lengths` (children × (children - 1),) int64 and `log_fold_changes` (genes,) float64, pair by pair."""
        changes = [self.changes[pair] for pair in itertools.permutations(range(len(self.sizes)), 2)]
        lengths = np.array([len(each) for each in changes], np.int64)
        return {"lengths": lengths, "log_fold_changes": np.concatenate([np.empty(0), *changes])}

    @classmethod
    def from_arrays(
        cls, sizes: Sequence[int], lengths: npt.NDArray[np.int64], log_fold_changes: Floats
    ) -> ChildMarkers:
        """Read what `to_arrays` made. Raises ValueError if it is not that."""
        pairs = list(itertools.permutations(range(len(sizes)), 2))
        if len(lengths) != len(pairs) or int(lengths.sum()) != len(log_fold_changes):
            raise ValueError(
                f"{len(lengths)} comparisons and {len(log_fold_changes)} genes do not fit {len(sizes)} children"
            )
        return cls(tuple(sizes), dict(zip(pairs, np.split(log_fold_changes, np.cumsum(lengths)[:-1]), strict=True)))


def child_markers(children: Sequence[Group], log_base: float | None = None) -> ChildMarkers:
    """Find the markers that each child of a split has over each of its sisters, from their moments.

    A gene is one where Welch's t-test of the logarithms has p below 0.05 (two-sided; adjusted for all genes by
    Benjamini and Hochberg), and the child has more. The log2 fold change is scanpy's (`log_fold_change`); `log_base` is
    that of the logarithms. A child of fewer than `FEWEST` cells has none, and nothing is a marker against it.

    Comparing pairs, both ways, is scrattch.hicat's way to tell which clusters stay apart (`de_all_pairs` and
    `test_merge` with `merge.type="directional"`; Tasic et al. 2018): two sisters that are alike count as one,
    and do not hide what tells them from a third.
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
    return ChildMarkers(tuple(child.n for child in children), changes)


def _last_join(mutual: npt.NDArray[np.int64]) -> int:
    """Return the number at which all children have joined, the most alike first: single linkage.

    It is the largest edge of the minimum spanning tree (Gower and Ross 1969), which Prim's algorithm grows.
    """
    to_tree, last = mutual[0].copy(), 0
    outside = np.arange(1, len(mutual))
    while len(outside):
        at = int(to_tree[outside].argmin())
        joined = outside[at]
        last = max(last, int(to_tree[joined]))
        outside = np.delete(outside, at)
        to_tree = np.minimum(to_tree, mutual[joined])
    return last


def _highest(changes: Floats) -> Floats:
    positive = np.sort(changes[changes > 0])[::-1]
    return np.ascontiguousarray(positive[:MOST_MARKERS])
