"""At which resolutions a sweep looks: preferred numbers, closer together where the number of clusters jumps.

The numbers are those of Renard's series (ISO 3): R5 (0.1, 0.16, 0.25, 0.4, 0.63, 1, 1.6, 2.5) to begin with, then
those of R10 and R20 between. They are evenly spaced by their logarithm, and can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

R20 = (1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8, 3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0)
R5 = 4  # steps of R20 from one number of R5 to the next
FIRST = range(-20, 9, R5)  # 0.1 to 2.5
LOWEST, HIGHEST = -40, 20  # 0.01 and 10
FEW, MANY = 5, 12  # clusters: a sweep reaches from at most so many to at least so many
JUMP = 1.5  # times as many clusters, and two more: something may lie between
MOST = 16  # resolutions of one sweep


def preferred(number: int) -> float:
    """Return a number of R20; 0 is 1, and twenty more is ten times as much."""
    decade, at = divmod(number, len(R20))
    return float(f"{R20[at]}e{decade}")


def next_resolutions(found: Mapping[float, int]) -> tuple[float, ...]:
    """Return at which resolutions a sweep looks next, ascending; none when it is done.

    `found` is the number of clusters by resolution, of those where it has looked: none at the beginning. What comes
    next depends on these alone, so a sweep is the same whoever made its partitions.
    """
    if not found:
        return tuple(preferred(number) for number in FIRST)
    numbers = {preferred(number): number for number in range(LOWEST, HIGHEST + 1)}
    clusters = {numbers[resolution]: count for resolution, count in found.items()}
    room = MOST - len(clusters)
    wanted = [*_beyond(clusters), *_between(clusters)]
    return tuple(preferred(number) for number in sorted(wanted[: max(room, 0)]))


def _beyond(clusters: Mapping[int, int]) -> list[int]:
    """Continue at an end where there are too many or too few clusters, downwards only while they become fewer."""
    low, high = min(clusters), max(clusters)
    falls = clusters[low] < clusters.get(low + R5, clusters[low] + 1)
    down = [low - R5] if clusters[low] > FEW and falls and low > LOWEST else []
    up = [high + R5] if clusters[high] < MANY and high < HIGHEST else []
    return [*down, *up]


def _between(clusters: Mapping[int, int]) -> list[int]:
    """Return the middles of the gaps over which the number of clusters jumps, the largest jump first."""
    order = sorted(clusters)
    jumps = []
    for one, other in itertools.pairwise(order):
        few, many = clusters[one], clusters[other]
        if other - one > 1 and many >= JUMP * few and many >= few + 2:
            jumps.append((-many / few, (one + other) // 2))
    return [middle for _, middle in sorted(jumps)]
