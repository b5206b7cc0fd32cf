"""The range of resolutions over which each of several partitions is the best of them by modularity.

W. H. Weir, S. Emmons, R. Gibson, D. Taylor and P. J. Mucha, "Post-processing partitions to identify domains of
modularity optimization", Algorithms 10 (2017): the modularity of a partition is a line over the resolution, `within`
less the resolution times `expected`. The partitions whose lines make the upper envelope are admissible (CHAMP: convex
hull of admissible modularity partitions). Those below it are nowhere the best, at whatever resolution they were found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SAME = 1e-9  # shares that are nearer than this differ by rounding


@dataclass(frozen=True)
class Range:
    """Resolutions from `low` to `high`, which may be infinite."""

    low: float
    high: float


def admissible(within: Sequence[float], expected: Sequence[float]) -> list[Range | None]:
    """Return for each partition where it is the best of all, None where it is nowhere.

    Parameters
    ----------
    within
        For each the share of all edge weight that lies within its clusters.
    expected
        For each the share that would in a random graph of the same strengths.

    Partitions with the same line share its range. Ranges begin at 0.
    """
    lines = list(zip(within, expected, strict=True))
    return [_range(own, lines) for own in lines]


def _range(own: tuple[float, float], lines: Sequence[tuple[float, float]]) -> Range | None:
    low, high = 0.0, math.inf
    for within, expected in lines:
        if abs(expected - own[1]) <= SAME:
            if within > own[0] + SAME:
                return None
            continue
        crossing = (own[0] - within) / (own[1] - expected)
        if expected > own[1]:
            low = max(low, crossing)  # from here on the other falls faster
        else:
            high = min(high, crossing)
    return Range(low, high) if low < high else None
