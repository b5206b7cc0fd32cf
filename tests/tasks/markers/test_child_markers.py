"""Genes that tell children apart: against SciPy, by hand, and what holds of any split."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse.csgraph import connected_components

from cellstrata.configs.evidence import MOST_MARKERS
from cellstrata.tasks.expression.stored_blocks import Block
from cellstrata.tasks.markers.child_markers import FEWEST, ChildMarkers, TellingGenes, child_markers
from cellstrata.tasks.markers.fold_change import log_fold_change
from cellstrata.tasks.markers.moments import Group, moments, moments_of_parts

GENES = 60


def group_of(values: npt.NDArray[Any]) -> Group:
    return Group(len(values), values.sum(axis=0), (values**2).sum(axis=0), (values > 0).sum(axis=0))


def children(sizes: list[int], own: list[int], seed: int = 0) -> list[npt.NDArray[Any]]:
    """Logarithms of children: of noise, and so many genes each that it has more of, side by side."""
    rng, found, first = np.random.default_rng(seed), [], 0
    for size, n in zip(sizes, own, strict=True):
        values = rng.gamma(4.0, 0.25, (size, GENES))
        values[:, first : first + n] += 2.0
        found.append(values)
        first += n
    return found


def test_markers_are_the_sure_genes_of_a_welch_test_both_ways() -> None:
    one, other = children([40, 30], [12, 7])
    found = child_markers([group_of(one), group_of(other)])
    p = stats.false_discovery_control(stats.ttest_ind(one, other, equal_var=False).pvalue)
    change = log_fold_change(one.mean(axis=0), other.mean(axis=0))
    for bound in (0.0, 0.5, 1.0, 2.5):
        expected = [int(((p < 0.05) & (sign * change > 0) & (sign * change >= bound)).sum()) for sign in (1, -1)]
        assert found.telling(bound).numbers == tuple(expected)
        assert found.telling(bound).mutual == min(expected)
    assert found.telling(1.0).numbers == (12, 7)


def test_two_sisters_that_are_alike_do_not_hide_a_third() -> None:
    """Against both together, a child that is like its sister would have genes that are hardly twice as much."""
    values = children([50, 50, 50], [10, 0, 0])
    values[1][:, 20:30] += 2.0
    values[2][:, 20:30] += 2.0
    told = child_markers([group_of(each) for each in values]).telling(1.0)
    assert told.mutual == 10
    assert told.numbers == (10, 0, 0)


def test_a_chain_of_children_that_are_alike_is_one() -> None:
    """The ends of a gradient that was cut in three differ, and each from the middle hardly."""
    values = children([60, 60, 60], [0, 0, 0])
    values[0][:, :12] += 2.0
    values[1][:, :6] += 2.0
    values[1][:, 20:26] += 2.0
    values[2][:, 20:32] += 2.0
    found = child_markers([group_of(each) for each in values])
    assert found.counts(1.0)[0, 2] == found.counts(1.0)[2, 0] == 12
    assert found.telling(1.0).mutual == 6


def test_one_way_alone_is_not_enough() -> None:
    told = child_markers([group_of(each) for each in children([50, 50], [20, 0])]).telling(1.0)
    assert (told.numbers, told.mutual) == ((20, 0), 0)


@pytest.mark.parametrize("few", [1, FEWEST - 1])
def test_a_child_of_few_cells_has_none_and_joins_nothing(few: int) -> None:
    one, other, alone = children([50, 50, few], [5, 5, 40])
    told = child_markers([group_of(each) for each in (one, other, alone)]).telling(1.0)
    assert (told.numbers, told.mutual) == ((5, 5, 0), 5)
    assert child_markers([group_of(one), group_of(alone)]).telling(0.0) == TellingGenes((0, 0), 0)
    assert child_markers([group_of(one)]).telling(0.0) == TellingGenes((0,), 0)


def test_as_many_are_kept_as_can_be_asked_for() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.gamma(4.0, 0.25, (2, 30, 400))
    one[:, :150] += 2
    found = child_markers([group_of(one), group_of(other)])
    assert found.telling(1.0).numbers == (MOST_MARKERS, 0)
    kept = found.changes[0, 1]
    assert (np.diff(kept) <= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_what_holds_of_any_split(data: st.DataObject) -> None:
    k = data.draw(st.integers(2, 4))
    sizes = [data.draw(st.integers(5, 25)) for _ in range(k)]
    seed = data.draw(st.integers(0, 99))
    own = [data.draw(st.integers(0, 15)) for _ in range(k)]
    groups = [group_of(each) for each in children(sizes, own, seed)]
    found = child_markers(groups)
    lower, higher = sorted(data.draw(st.tuples(st.floats(0, 4), st.floats(0, 4))))
    less, more = found.telling(lower), found.telling(higher)
    assert less.mutual >= more.mutual  # another bound can only take genes away
    told = found.telling(lower)
    mutual = np.minimum(found.counts(lower), found.counts(lower).T)
    large = np.flatnonzero(np.array(sizes) >= FEWEST)
    mutual = mutual[np.ix_(large, large)]
    for asked in range(max(1, told.mutual - 1), told.mutual + 3):
        left = connected_components(sp.csr_matrix(mutual < asked), directed=False)[0] if len(large) else 0
        assert (told.mutual >= asked) == (left >= 2)  # children that are alike, or a chain of them, count as one
    if k == len(large) == 2:
        assert told.mutual == min(told.numbers)
    order = data.draw(st.permutations(range(k)))
    turned = child_markers([groups[at] for at in order]).telling(lower)
    assert turned.mutual == told.mutual
    assert turned.numbers == tuple(told.numbers[at] for at in order)
    arrays: Any = found.to_arrays()
    again = ChildMarkers.from_arrays(sizes, lengths=arrays["lengths"], log_fold_changes=arrays["log_fold_changes"])
    assert again.telling(lower) == told


def test_arrays_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ChildMarkers.from_arrays((10, 10, 10), np.array([1, 2]), np.zeros(3))


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize("step", [7, 50, 1000])
def test_moments_of_some_cells_are_those_of_a_file_with_these_alone(form: Any, step: int) -> None:
    rng = np.random.default_rng(0)
    values = (rng.gamma(1.0, 1.0, (120, 9)) * (rng.random((120, 9)) < 0.4)).astype(np.float32)
    parts = []
    for n, k in ((120, 3), (40, 2), (1, 1), (77, 5)):
        rows = np.sort(rng.choice(120, n, replace=False)).astype(np.int32)
        parts.append((rows, np.resize(np.arange(k, dtype=np.int32), n)))
    if form is sp.csr_matrix:
        cuts = range(0, 120, step)
        blocks = [Block(form(values[at : at + step]), slice(at, min(at + step, 120)), slice(0, 9)) for at in cuts]
    else:
        cuts = range(0, 9, max(1, step // 7))
        width = max(1, step // 7)
        blocks = [Block(form(values[:, at : at + width]), slice(0, 120), slice(at, min(at + width, 9))) for at in cuts]
    for found, (rows, codes) in zip(moments_of_parts(blocks, parts, 9), parts, strict=True):
        alone = Block(sp.csr_matrix(values[rows]), slice(0, len(rows)), slice(0, 9))
        (expected,) = moments([alone], [codes], 9)
        for name in ("cells", "sums", "squares", "expressing"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
