"""Whether labels lie within those of the level above."""

from __future__ import annotations

import numpy as np
import pytest

from cellstrata.tasks.trees.nesting import NotNested, Straddling, parents_of


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_each_label_has_the_label_that_its_cells_have_above() -> None:
    above, below = codes(2, 2, 0, 0, 1, -1, 1), codes(0, 3, 1, 1, 2, -1, -1)
    parents = parents_of(above, below, 5)
    assert parents.tolist() == [2, 0, 1, 2, -1]  # no cell has the last
    assert parents.dtype == np.int32
    assert parents_of(codes(), codes(), 2).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("above", "below", "found"),
    [
        ((0, 0, 1, 1, 1), (0, 0, 0, 1, 1), Straddling(0, 0, 1, 2, 1)),
        ((0, 1, 1, 1, 0, 0), (0, 0, 0, 1, 1, 1), Straddling(0, 1, 0, 2, 1)),  # most of its cells first
        ((0, 1, 0, 1, 1), (0, 0, 1, 1, 1), Straddling(0, 0, 1, 1, 1)),  # of equals the first
        ((0, 0, 1, 0, 0, 1, 1), (0, 0, 0, 1, 1, 1, 1), Straddling(1, 0, 1, 2, 2)),  # the most cells astray
        ((0, -1, -1), (0, 0, 0), Straddling(0, -1, 0, 2, 1)),
        ((-1, -1, 0), (0, 0, 1), Straddling(0, -1, -1, 0, 2)),
    ],
)
def test_a_label_within_two_is_named_with_its_cells(
    above: tuple[int, ...], below: tuple[int, ...], found: Straddling
) -> None:
    with pytest.raises(NotNested) as caught:
        parents_of(codes(*above), codes(*below), max(below) + 1)
    assert caught.value.straddling == found
