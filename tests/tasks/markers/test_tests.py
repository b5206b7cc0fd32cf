"""The tests themselves, against SciPy and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as some
from scipy import stats

from cellstrata.tasks.markers.false_discovery import benjamini_hochberg, best
from cellstrata.tasks.markers.fold_change import log_fold_change
from cellstrata.tasks.markers.moments import Group
from cellstrata.tasks.markers.rank_sums import Ranking, rank_sums, wilcoxon
from cellstrata.tasks.markers.t_test import welch

RNG = np.random.default_rng(0)


def group_of(values: npt.NDArray[Any]) -> Group:
    return Group(len(values), values.sum(axis=0), (values**2).sum(axis=0), (values > 0).sum(axis=0))


def test_welch_is_that_of_scipy() -> None:
    one, other = RNG.gamma(1, 1, (20, 50)), RNG.gamma(1.2, 1, (31, 50))
    t, p = welch(group_of(one), group_of(other))
    found = stats.ttest_ind(one, other, equal_var=False)
    np.testing.assert_allclose(t, found.statistic, rtol=1e-9)
    np.testing.assert_allclose(p, found.pvalue, rtol=1e-9)
    over, _ = welch(group_of(one), group_of(other), overestimate=True)
    assert (np.abs(over) < np.abs(t)).all()


def test_a_gene_that_nobody_has_is_no_marker() -> None:
    t, p = welch(group_of(np.zeros((5, 1))), group_of(np.zeros((9, 1))))
    assert (t.tolist(), p.tolist()) == ([0], [1])
    assert log_fold_change(np.zeros(1), np.zeros(1)).tolist() == [0]
    t, p = welch(group_of(np.ones((5, 1))), group_of(np.zeros((9, 1))))
    assert (t.tolist(), p.tolist()) == ([np.inf], [0])


def test_log_fold_changes_of_other_bases() -> None:
    natural = np.log1p(np.array([3.0]))
    assert log_fold_change(natural, natural * 0)[0] == pytest.approx(np.log2(3e9), rel=1e-6)
    of_two = np.log2(1 + np.array([3.0]))
    assert log_fold_change(of_two, np.log2(np.array([2.0])), 2.0)[0] == pytest.approx(np.log2(3), rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discoveries_are_those_of_scipy(p: list[float]) -> None:
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)), stats.false_discovery_control(p), rtol=1e-12)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, np.inf]), min_size=1, max_size=20), st.integers(1, 25))
def test_the_best_are_in_order_and_ties_in_that_of_genes(scores: list[float], n: int) -> None:
    expected = sorted(range(len(scores)), key=lambda gene: (-scores[gene], gene))[:n]
    assert best(np.array(scores), n).tolist() == expected


@settings(deadline=None)
@given(
    some.arrays(np.float32, (17, 3), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, -1.5, 3.25])),
    st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 2)), min_size=17, max_size=17),
)
def test_ranks_within_strata_are_those_of_scipy(values: Any, places: list[tuple[int, int]]) -> None:
    strata = np.array([stratum for stratum, _ in places], np.int32)
    groups = np.array([3 * max(stratum, 0) + group - (stratum < 0) * 9 for stratum, group in places], np.int32)
    groups = np.maximum(groups, -1)
    (found,) = rank_sums(sp.csr_matrix(values.T), [Ranking(strata, groups, 2, 6)])
    for stratum in (0, 1):
        cells = np.flatnonzero(strata == stratum)
        for gene in range(3):
            ranks = stats.rankdata(values[cells, gene])
            ties = np.unique(values[cells, gene], return_counts=True)[1].astype(float)
            assert found.ties[gene, stratum] == (ties**3 - ties).sum()
            for group in range(3 * stratum, 3 * stratum + 3):
                assert found.sums[gene, group] == pytest.approx(ranks[groups[cells] == group].sum())


def test_wilcoxon_and_auroc_are_those_of_scipy() -> None:
    one, other = RNG.poisson(1, 40).astype(float), RNG.poisson(1.8, 60).astype(float)
    values = np.concatenate([one, other])
    strata, groups = np.zeros(100, np.int32), np.repeat([0, 1], [40, 60]).astype(np.int32)
    (found,) = rank_sums(sp.csr_matrix(values[None, :]), [Ranking(strata, groups, 1, 2)])
    z, p, auroc = wilcoxon(found.sums[:, 0], found.ties[:, 0], 40, 60)
    expected = stats.mannwhitneyu(one, other, method="asymptotic", use_continuity=False)
    assert p[0] == pytest.approx(expected.pvalue)
    assert auroc[0] == pytest.approx(expected.statistic / 2400)
    assert z[0] < 0
    z, p, auroc = wilcoxon(np.array([5 * 10.5]), np.array([20.0**3 - 20]), 5, 15)  # all are tied
    assert (z[0], p[0], auroc[0]) == (0, 1, 0.5)
