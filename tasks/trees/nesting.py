"""Whether the labels of one column lie within those of another, each within one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Straddling:
    """A label that lies within two labels of the level above, by their numbers, and how many cells it has in each.

    `first` has the most of its cells. `second` is -1 where the other cells have no label above, and `first` is -1
    where none of its cells has one.
    """

    label: int
    first: int
    second: int
    cells_first: int
    cells_second: int


def parents_of(above: npt.NDArray[np.int32], below: npt.NDArray[np.int32], n_labels: int) -> npt.NDArray[np.int32]:
    """Return for each of the `n_labels` labels of a level the label above it within which its cells lie.

    Parameters
    ----------
    above, below
        (n,) int32: the label of each cell at two levels, -1 where it has none.
    n_labels
        How many labels the lower level has.

    Returns
    -------
    npt.NDArray[np.int32]
        (n_labels,): the number of its parent, -1 for a label that no cell has.

    Raises
    ------
    NotNested
        If a label has cells within two, or cells without a label above; of several, that with the most cells astray.
    """
    there = below >= 0
    span = int(above.max(initial=-1)) + 2
    numbers, counts = np.unique(below[there].astype(np.int64) * span + above[there] + 1, return_counts=True)
    pairs = np.stack([numbers // span, numbers % span - 1], axis=1).astype(np.int32)
    order = np.lexsort((pairs[:, 1], -counts, pairs[:, 0]))  # of each label the parent with most of its cells first
    pairs, counts = pairs[order], counts[order]
    labels, first = np.unique(pairs[:, 0], return_index=True)
    ends = [*first[1:], len(pairs)][: len(first)]
    astray = [_straddling(pairs, counts, int(at), int(end)) for at, end in zip(first, ends, strict=True)]
    worst = max((one for one in astray if one is not None), key=lambda one: one.cells_second, default=None)
    if worst is not None:
        raise NotNested(worst)
    parents = np.full(n_labels, -1, np.int32)
    parents[labels] = pairs[first, 1]
    return parents


class NotNested(ValueError):
    """A label lies within two; `straddling` is which."""

    def __init__(self, straddling: Straddling) -> None:
        self.straddling = straddling
        super().__init__(straddling)


def _straddling(pairs: npt.NDArray[np.int32], counts: npt.NDArray[np.int64], at: int, end: int) -> Straddling | None:
    label, first = int(pairs[at, 0]), int(pairs[at, 1])
    if end - at > 1:
        return Straddling(label, first, int(pairs[at + 1, 1]), int(counts[at]), int(counts[at + 1]))
    return Straddling(label, -1, -1, 0, int(counts[at])) if first < 0 else None
