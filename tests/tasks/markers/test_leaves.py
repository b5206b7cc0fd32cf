"""Leaves that several columns share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.markers.leaves import leaf_sets

COLUMNS = st.integers(1, 40).flatmap(
    lambda n: st.lists(st.lists(st.integers(-1, 4), min_size=n, max_size=n), min_size=1, max_size=5)
)


@given(COLUMNS)
def test_clusters_are_made_of_leaves(columns: list[list[int]]) -> None:
    codes = [np.array(column, np.int32) for column in columns]
    sets = leaf_sets(codes)
    assert sorted(place for leaves in sets for place in leaves.columns) == list(range(len(codes)))
    for leaves in sets:
        assert np.array_equal(np.unique(leaves.codes), np.arange(leaves.n_leaves))
        for row, place in enumerate(leaves.columns):
            assert np.array_equal(leaves.labels[row][leaves.codes], codes[place])
            for cluster in np.unique(codes[place]):
                own = np.isin(leaves.codes, leaves.leaves(place, [cluster]))
                assert np.array_equal(own, codes[place] == cluster)


def test_levels_share_leaves_and_independent_columns_do_not() -> None:
    rng = np.random.default_rng(0)
    fine, other = (rng.integers(0, 60, 20_000).astype(np.int32) for _ in range(2))
    (levels,) = leaf_sets([fine // 20, fine // 5, fine])
    assert (levels.columns, levels.n_leaves) == ((0, 1, 2), 60)
    assert [leaves.n_leaves for leaves in leaf_sets([fine, other])] == [60, 60]
    apart = leaf_sets([fine // 5, other // 5, fine, other])
    assert [leaves.columns for leaves in apart] == [(0, 2), (1, 3)]


def test_labels_that_are_large_numbers() -> None:
    codes = np.array([10**9, 5, 10**9], np.int32)
    (leaves,) = leaf_sets([codes])
    assert leaves.codes.tolist() == [1, 0, 1]
    assert leaves.labels.tolist() == [[5, 10**9]]
