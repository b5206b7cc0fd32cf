"""Moments of blocks add up to those of the whole, and those of levels to those of leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from cellstrata.tasks.markers.leaves import leaf_sets
from cellstrata.tasks.markers.moments import Group, Moments, moments

MATRIX = some.arrays(
    np.float32,
    some.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.one_of(st.just(0.0), st.floats(0, 9, width=32)),
)


@dataclass(frozen=True)
class Piece:
    """A block of a matrix."""

    matrix: Any
    rows: slice
    genes: slice


def pieces(values: npt.NDArray[Any], rows: int, genes: int, make: Any = sp.csr_matrix) -> Iterator[Piece]:
    for top in range(0, values.shape[0], rows):
        for left in range(0, values.shape[1], genes):
            own = slice(top, min(top + rows, len(values))), slice(left, min(left + genes, values.shape[1]))
            yield Piece(make(values[own]), *own)


def of(
    values: npt.NDArray[Any], codes: Any, rows: int = 10**6, genes: int = 10**6, make: Any = sp.csr_matrix
) -> Moments:
    (found,) = moments(pieces(values, rows, genes, make), [np.asarray(codes, np.int32)], values.shape[1])
    return found


def same(one: Moments, other: Moments) -> None:
    for name in ("cells", "sums", "squares", "expressing"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@settings(deadline=None)
@given(MATRIX, st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.randoms(use_true_random=False))
def test_blocks_add_up_to_the_last_bit(values: Any, rows: int, genes: int, groups: int, random: Any) -> None:
    codes = [*range(groups), *(random.randrange(groups) for _ in values)][-len(values) :]
    codes = list(np.unique(codes, return_inverse=True)[1])
    whole = of(values, codes)
    same(whole, of(values, codes, rows, genes))
    same(whole, of(values, codes, rows, genes, sp.csc_matrix))
    for group in range(max(codes) + 1):
        own = values[np.asarray(codes) == group].astype(np.float64)
        assert whole.cells[group] == len(own)
        np.testing.assert_allclose(whole.sums[:, group], own.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(whole.squares[:, group], (own**2).sum(axis=0), rtol=1e-12, atol=1e-30)
        np.testing.assert_array_equal(whole.expressing[:, group], (own > 0).sum(axis=0))


@settings(deadline=None)
@given(MATRIX, st.randoms(use_true_random=False))
def test_levels_add_up_from_leaves(values: Any, random: Any) -> None:
    fine = np.array([random.randrange(6) for _ in values], np.int32)
    (leaves,) = leaf_sets([fine // 3, fine])
    found = of(values, leaves.codes)
    for cluster in np.unique(fine // 3):
        group = found.group(leaves.leaves(0, [cluster]))
        own = values[fine // 3 == cluster].astype(np.float64)
        assert group.n == len(own)
        np.testing.assert_allclose(group.means, own.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(group.shares, (own > 0).mean(axis=0))
        rest = found.all().without(group)
        others = values[fine // 3 != cluster].astype(np.float64)
        np.testing.assert_allclose(rest.sums, others.sum(axis=0), rtol=1e-9, atol=1e-12)
        assert (rest.sums[(others == 0).all(axis=0)] == 0).all()


def test_several_groupings_at_once() -> None:
    rng = np.random.default_rng(0)
    values = rng.poisson(0.5, (200, 30)).astype(np.float32)
    codes = [np.arange(200, dtype=np.int32) % k for k in (2, 3, 7, 50, 1)]
    for codes_of, found in zip(codes, moments(pieces(values, 17, 30), codes, 30), strict=True):
        same(found, of(values, codes_of))


def test_variances_are_unbiased_and_never_negative() -> None:
    values = np.array([[0.1, 3], [0.1, 5], [0.1, 1]])
    group = Group(3, values.sum(axis=0), (values**2).sum(axis=0), np.array([3, 3]))
    assert group.variances[0] == pytest.approx(0, abs=1e-16)
    assert group.variances[0] >= 0
    assert group.variances[1] == pytest.approx(4)
