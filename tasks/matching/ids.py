"""Which ids clusters get after those of an earlier tree: level by level, each within its parent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.matching.overlap import Codes, Overlaps, overlaps
from cellstrata.tasks.trees.ids import Kinship
from cellstrata.tasks.trees.labels import SEPARATOR

# The least Jaccard index of clusters that have one id: Greene, Doyle and Cunningham (ASONAM 2010) follow communities
# over time by such a threshold. With 0.5 the children of parents that lost half of their cells all lost their ids,
# below 0.3 hardly any more were kept (docs/ids.md).
LEAST = 0.3


@dataclass(frozen=True, eq=False)
class Level:
    """The clusters of one level: (n,) int32 codes, -1 for cells without, their labels, and their parents' labels.

    `above` is the column of the level above, empty at level 1. The labels of a `fixed` level came with the input, and
    stay as they are.
    """

    column: str
    codes: Codes
    labels: tuple[str, ...]
    parents: tuple[str, ...]
    above: str = ""
    fixed: bool = False


@dataclass(frozen=True, eq=False)
class LevelIds:
    """The ids of a level's clusters and what these were, by their labels so far, and ids that are retired.

    `kept` are the labels of those that have an earlier cluster's id because of their cells.
    """

    labels: Mapping[str, str]
    kin: Mapping[str, Kinship]
    retired: tuple[str, ...] = ()
    kept: frozenset[str] = field(default=frozenset())


def match_levels(
    levels: Sequence[Level], earlier: Mapping[str, Level], retired: Mapping[str, Collection[str]]
) -> dict[str, LevelIds]:
    """Give the clusters of some levels the ids of the earlier clusters of the same column.

    A cluster may have the id of an earlier one if their Jaccard index is 0.3 at least, and if its parent has the id of
    that one's parent. Of all ways to give ids within a parent the one is taken that has the highest sum of indices (an
    optimal assignment). All others get the lowest numbers that no cluster of their parent has, had, or has given up.

    Parameters
    ----------
    levels
        The new clusters, each level after the one above it; labels are numbers, joined by `_` below level 1.
    earlier
        Those of the earlier result by column, of the same cells in the same order.
    retired
        Ids of the earlier result, by column, that are not to be given again.

    Returns
    -------
    dict[str, LevelIds]
        By column.
    """
    found: dict[str, LevelIds] = {}
    for level in levels:
        found[level.column] = _level_ids(
            level, earlier.get(level.column), retired.get(level.column, ()), found.get(level.above)
        )
    return found


def _level_ids(level: Level, earlier: Level | None, retired: Collection[str], above: LevelIds | None) -> LevelIds:
    theirs = earlier or Level(level.column, np.full(len(level.codes), -1, np.int32), (), ())
    found = overlaps(level.codes, theirs.codes, len(level.labels), len(theirs.labels))
    parents = [parent if above is None else above.labels[parent] for parent in level.parents]
    if level.fixed:
        there = {label: at for at, label in enumerate(theirs.labels)}
        same = {at: there[label] for at, label in enumerate(level.labels) if label in there}
        labels = dict(zip(level.labels, level.labels, strict=True))
    else:
        is_kept = [above is None or parent in above.kept for parent in level.parents]
        same = _same(found, parents, theirs.parents, is_kept)
        labels = _labels(level, parents, theirs, same, retired)
    alive = None if above is None else set(above.labels.values())
    # Below a parent that is retired no id is ever given: those retired before need not be kept in mind.
    known = {*theirs.labels, *(label for label in retired if alive is None or _parent(label) in alive)}
    return LevelIds(
        labels,
        _kinships(level, theirs, found, same, labels),
        tuple(sorted(known - set(labels.values()), key=in_order)),
        frozenset(level.labels[at] for at in same),
    )


def _same(found: Overlaps, parents: Sequence[str], theirs: Sequence[str], is_kept: Sequence[bool]) -> dict[int, int]:
    """Return which earlier cluster each cluster is, by their numbers, for those that are one."""
    with IMPORTING:
        from scipy.optimize import linear_sum_assignment

    index = found.jaccard
    families: dict[str, list[int]] = {}
    for at, (one, other) in enumerate(zip(found.one.tolist(), found.other.tolist(), strict=True)):
        if index[at] >= LEAST and is_kept[one] and parents[one] == theirs[other]:
            families.setdefault(parents[one], []).append(at)
    same: dict[int, int] = {}
    for pairs in families.values():
        ours, one = np.unique(found.one[pairs], return_inverse=True)
        those, other = np.unique(found.other[pairs], return_inverse=True)
        table = np.zeros((len(ours), len(those)))
        table[one, other] = index[pairs]
        rows, columns = linear_sum_assignment(table, maximize=True)
        same |= {int(ours[row]): int(those[at]) for row, at in zip(rows, columns, strict=True) if table[row, at]}
    return same


def _labels(
    level: Level, parents: Sequence[str], theirs: Level, same: Mapping[int, int], retired: Collection[str]
) -> dict[str, str]:
    taken: dict[str, set[int]] = {}
    for label in (*theirs.labels, *retired):
        parent, _, last = label.rpartition(SEPARATOR)
        if last.isdecimal():
            taken.setdefault(parent, set()).add(int(last))
    labels: dict[str, str] = {}
    for at, label in enumerate(level.labels):
        if at in same:
            labels[label] = theirs.labels[same[at]]
            continue
        numbers = taken.setdefault(parents[at], set())
        number = next(each for each in range(len(numbers) + 1) if each not in numbers)
        numbers.add(number)
        labels[label] = f"{parents[at]}{SEPARATOR}{number}" if parents[at] else str(number)
    return labels


def _kinships(
    level: Level, theirs: Level, found: Overlaps, same: Mapping[int, int], labels: Mapping[str, str]
) -> dict[str, Kinship]:
    best, splits, merges, there = found.best(), found.splits(), found.merges(), set(theirs.labels)
    index = dict(zip(zip(found.one.tolist(), found.other.tolist(), strict=True), found.jaccard.tolist(), strict=True))
    kin: dict[str, Kinship] = {}
    for at, label in enumerate(level.labels):
        other = same[at] if at in same else best[at][0] if at in best else None
        split = splits.get(at)
        kin[label] = Kinship(
            was="" if other is None else theirs.labels[other],
            overlap=None if other is None else index.get((at, other), 0.0),
            new=labels[label] not in there,
            split_from="" if split is None else theirs.labels[split],
            merged_from=tuple(theirs.labels[each] for each in merges.get(at, ())),
        )
    return kin


def in_order(label: str) -> tuple[tuple[int, str], ...]:
    """Return what brings labels into natural order: 2 before 10, 1_2 before 1_10."""
    return tuple((int(part) if part.isdecimal() else -1, part) for part in label.split(SEPARATOR))


def _parent(label: str) -> str:
    return label.rpartition(SEPARATOR)[0]
