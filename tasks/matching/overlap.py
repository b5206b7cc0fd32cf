"""How the clusters of two partitions of the same cells overlap: shared cells, Jaccard index, splits and merges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int64]

PART = 0.1  # of a cluster: smaller parts that it gave or took do not make it split or merged


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The pairs of clusters that share cells, (p,) int64 each: one's number, the other's, and how many cells.

    `sizes` and `other_sizes` are those of all clusters, (k,) and (l,) int64, of the cells of both partitions.
    """

    one: Numbers
    other: Numbers
    shared: Numbers
    sizes: Numbers
    other_sizes: Numbers

    @property
    def jaccard(self) -> npt.NDArray[np.float64]:
        """The shared cells of each pair over all of both clusters, (p,) float64, 0 to 1 (Jaccard 1912)."""
        return self.shared / (self.sizes[self.one] + self.other_sizes[self.other] - self.shared)

    def best(self) -> dict[int, tuple[int, float]]:
        """Return for each cluster that shares cells the first other one of the highest index, and that."""
        index = self.jaccard
        order = np.lexsort((self.other, -index, self.one))
        firsts = order[np.unique(self.one[order], return_index=True)[1]]
        return {int(self.one[at]): (int(self.other[at]), float(index[at])) for at in firsts}

    def splits(self) -> dict[int, int]:
        """Return for each cluster that is a part of another one, which was split, that one's number.

        Most of its cells were in that one, a tenth of that one's cells at least, and so it is with a second cluster.
        """
        within = (2 * self.shared > self.sizes[self.one]) & (self.shared >= PART * self.other_sizes[self.other])
        parts = np.bincount(self.other[within], minlength=len(self.other_sizes))
        found = within & (parts[self.other] > 1)
        return dict(zip(self.one[found].tolist(), self.other[found].tolist(), strict=True))

    def merges(self) -> dict[int, list[int]]:
        """Return for each cluster into which others were merged, two or more, their numbers: the same the other way."""
        turned = Overlaps(self.other, self.one, self.shared, self.other_sizes, self.sizes).splits()
        found: dict[int, list[int]] = {}
        for other in sorted(turned):
            found.setdefault(turned[other], []).append(other)
        return found


def overlaps(one: Codes, other: Codes, n_one: int, n_other: int) -> Overlaps:
    """Return which clusters share cells.

    Parameters
    ----------
    one, other
        (n,) int32: the cluster of each cell in both partitions, -1 where it has none.
    n_one, n_other
        How many clusters there are.
    """
    both = (one >= 0) & (other >= 0)
    pairs, shared = np.unique(one[both].astype(np.int64) * n_other + other[both], return_counts=True)
    sizes, other_sizes = (
        np.bincount(codes[codes >= 0], minlength=n).astype(np.int64) for codes, n in ((one, n_one), (other, n_other))
    )
    return Overlaps(pairs // max(n_other, 1), pairs % max(n_other, 1), shared.astype(np.int64), sizes, other_sizes)
