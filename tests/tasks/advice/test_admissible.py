"""Ranges of resolution over which partitions are the best, against looking at each resolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.advice.admissible import Range, admissible

SHARES = st.integers(0, 40).map(lambda number: number / 40)  # coarse, so that equal lines occur
LINES = st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=12)


def test_three_lines_by_hand() -> None:
    # One cluster; 0.9 of the weight within, a half expected; one that the second always beats; single vertices.
    within, expected = [1.0, 0.9, 0.8, 0.0], [1.0, 0.5, 0.5, 0.0]
    first, second, third, last = admissible(within, expected)
    assert (first, third) == (Range(0.0, pytest.approx(0.2)), None)
    assert second == Range(pytest.approx(0.2), pytest.approx(1.8))
    assert last == Range(pytest.approx(1.8), math.inf)


def test_equal_partitions_share_their_range() -> None:
    both = admissible([0.9, 0.9 + 1e-13], [0.5, 0.5])
    assert both == [Range(0.0, math.inf)] * 2


@given(LINES)
def test_each_range_is_where_its_line_is_highest(lines: list[tuple[float, float]]) -> None:
    within, expected = (np.array(part) for part in zip(*lines, strict=True))
    found = admissible(within.tolist(), expected.tolist())
    for resolution in np.linspace(0.0013, 45, 401):
        heights = within - resolution * expected
        best = heights >= heights.max() - 1e-9
        for at, one in enumerate(found):
            inside = one is not None and one.low < resolution < one.high
            assert not inside or best[at]  # nowhere else
        covered = any(one is not None and one.low <= resolution <= one.high for one in found)
        assert covered or len(np.flatnonzero(best)) > 1  # but where lines cross, each resolution has its best


@given(LINES, st.randoms(use_true_random=False))
def test_the_order_of_the_partitions_decides_nothing(lines: list[tuple[float, float]], rng: object) -> None:
    order = list(range(len(lines)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    plain = admissible(*zip(*lines, strict=True))
    mixed = admissible(*zip(*[lines[at] for at in order], strict=True))
    assert [plain[at] for at in order] == mixed
