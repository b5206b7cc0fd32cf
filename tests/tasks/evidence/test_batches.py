"""How cells are spread over donors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.evidence.batches import ENOUGH, batch_spread


def test_shares_entropy_and_groups() -> None:
    codes = np.repeat(np.array([0, 1, 2, -1], np.int32), [60, 30, 9, 500])
    spread = batch_spread(codes, 4)
    shares = np.array([60, 30, 9]) / 99
    assert spread.largest == pytest.approx(60 / 99)
    assert spread.largest_group == 0
    assert spread.entropy == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4))
    assert spread.groups == 2  # the third has fewer than ten
    named = spread.to_json(["a", "b", "c", "d"])
    assert named == {"largest": 0.6061, "entropy": round(spread.entropy, 4), "of": "a", "groups": 2}


def test_cells_without_a_group() -> None:
    spread = batch_spread(np.full(5, -1, np.int32), 3)
    assert spread.to_json(["a", "b", "c"]) == {"largest": 0.0, "entropy": 0.0, "of": None, "groups": 0}


@given(st.lists(st.integers(-1, 5), max_size=300))
def test_of_anything(codes: list[int]) -> None:
    spread = batch_spread(np.array(codes, np.int32), 6)
    assert 0 <= spread.entropy <= 1 + 1e-9
    assert 0 <= spread.largest <= 1
    assert spread.groups == sum(codes.count(group) >= ENOUGH for group in range(6))
    assert (spread.largest_group >= 0) == any(code >= 0 for code in codes)
