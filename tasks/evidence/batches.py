"""How the cells of a cluster are spread over donors, or over any other batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ENOUGH = 10  # cells of a group, for it to count


@dataclass(frozen=True, kw_only=True)
class BatchSpread:
    """How a cluster's cells are spread over the groups of an obs column.

    Attributes
    ----------
    largest : float
        The share of the largest group, among the cells that have one.
    largest_group : int
        Its code; -1 where no cell has one.
    entropy : float
        Shannon's, of the shares, divided by its largest value for as many groups as all cells have: 0 is one group,
        1 is all in equal parts. 0 where all cells are of one group.
    groups : int
        How many groups have at least 10 cells there.
    """

    largest: float
    largest_group: int
    entropy: float
    groups: int

    def to_json(self, names: Sequence[str]) -> dict[str, object]:
        """Return plain JSON values, with the largest group by its name."""
        of = names[self.largest_group] if self.largest_group >= 0 else None
        shares = {"largest": round(self.largest, 4), "entropy": round(self.entropy, 4)}
        return {**shares, "of": of, "groups": self.groups}


def batch_spread(codes: npt.NDArray[np.int32], n_groups: int) -> BatchSpread:
    """Tell how cells are spread; `codes` (n,) int32 is the group of each, from 0 to `n_groups`, -1 for none."""
    counts = np.bincount(codes[codes >= 0], minlength=max(n_groups, 1))
    total = int(counts.sum())
    if not total:
        return BatchSpread(largest=0.0, largest_group=-1, entropy=0.0, groups=0)
    shares = counts[counts > 0] / total
    entropy = float(-(shares * np.log(shares)).sum() / np.log(n_groups)) if n_groups > 1 else 0.0
    top = int(counts.argmax())
    return BatchSpread(
        largest=float(counts[top] / total),
        largest_group=top,
        entropy=max(entropy, 0.0),
        groups=int((counts >= ENOUGH).sum()),
    )
