"""Two groupings side by side: against definitions written out cell by cell, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.evaluation import cross_table as tables
from cellstrata.tasks.evaluation.agreement import agreement, contingency
from cellstrata.tasks.evaluation.comparison import compare
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.evaluation.cross_table import by_cell, cross_table

Codes = npt.NDArray[np.int32]


def grouping(codes: list[int], n: int | None = None, name: str = "a") -> Categories:
    labels = tuple(f"{name}{i}" for i in range(max(codes, default=-1) + 1 if n is None else n))
    return Categories(name, np.array(codes, np.int32), labels)


def affinity(codes: Codes, alpha: float) -> npt.NDArray[np.float64]:
    """The paper's: personalized PageRank from each cell over the graph in which the cells of a group are joined."""
    same = (codes[:, None] == codes[None, :]).astype(float)
    walk = same / same.sum(axis=1, keepdims=True)
    n = len(codes)
    return (1 - alpha) * np.linalg.inv(np.eye(n) - alpha * walk)


def element_centric(first: Codes, second: Codes, alpha: float) -> npt.NDArray[np.float64]:
    apart = np.abs(affinity(first, alpha) - affinity(second, alpha)).sum(axis=1)
    return np.asarray(1 - apart / (2 * alpha))


pairs = st.integers(2, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(-1, 5), min_size=n, max_size=n) for _ in range(2)])
)


@settings(max_examples=60)
@given(pairs)
def test_all_numbers_are_those_of_their_definitions(codes: tuple[list[int], list[int]]) -> None:
    first, second = (np.array(each, np.int32) for each in codes)
    both = (first >= 0) & (second >= 0)
    if not both.any():
        with pytest.raises(ValueError, match="no cell has a value in both"):
            compare(grouping(codes[0], 6), grouping(codes[1], 6))
        return
    found = compare(grouping(codes[0], 6), grouping(codes[1], 6, "b"))
    assert found.agreement == agreement(contingency(first, second, 6, 6))
    lost = found.left_out
    assert (lost.only_first, lost.only_second) == (
        ((first < 0) & (second >= 0)).sum(),
        ((second < 0) & (first >= 0)).sum(),
    )
    assert lost.n_cells == (~both).sum()

    cells = found.of_cells()
    assert cells.dtype == np.float32
    assert np.array_equal(np.isnan(cells), ~both)
    for alpha in (0.9, 0.3):  # it drops out
        assert np.allclose(cells[both], element_centric(first[both], second[both], alpha), atol=1e-6)
    assert found.similarity == pytest.approx(cells[both].mean(), abs=1e-6)
    ordered = np.sort(cells[both])
    n = both.sum()
    assert found.quartiles == pytest.approx([ordered[int(np.ceil(part * n)) - 1] for part in (0.25, 0.5, 0.75)])

    for partners, own, other in ((found.of_first, first, second), (found.of_second, second, first)):
        for group in range(6):
            mine = both & (own == group)
            assert partners.every[group] == (own == group).sum()
            assert partners.sizes[group] == mine.sum()
            theirs = [both & (other == each) for each in range(6)]
            indices = [(mine & each).sum() / max(1, (mine | each).sum()) for each in theirs]
            if mine.any():
                assert partners.best[group] == int(np.argmax(indices))
                assert partners.jaccard[group] == max(indices)
                assert partners.shared[group] == (mine & (other == partners.best[group])).sum()
                assert partners.similarity[group] == pytest.approx(cells[mine].mean(), abs=1e-6)
            else:
                assert (partners.best[group], partners.jaccard[group]) == (-1, 0)
                assert np.isnan(partners.similarity[group])


def test_agreement_is_that_of_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 9, 500), rng.integers(0, 4, 500)
    second[first == 3] = 0
    found = compare(grouping(first.tolist()), grouping(second.tolist(), name="b")).agreement
    assert found.ari == pytest.approx(metrics.adjusted_rand_score(second, first))
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(second, first))
    expected = metrics.homogeneity_completeness_v_measure(second, first)
    assert (found.homogeneity, found.completeness, found.v_measure) == pytest.approx(expected)


def test_the_same_groups_by_other_names_agree_in_everything() -> None:
    first = grouping([0, 0, 1, 2, 2, 2])
    second = grouping([2, 2, 0, 1, 1, 1], name="b")
    found = compare(first, second)
    assert (found.similarity, found.agreement.ari, found.quartiles) == (1, 1, (1, 1, 1))
    assert found.of_first.jaccard.tolist() == found.of_second.jaccard.tolist() == [1, 1, 1]
    assert found.of_first.best.tolist() == [2, 0, 1]


def test_of_equally_good_partners_the_first_is_named() -> None:
    found = compare(grouping([0, 0, 0, 0]), grouping([1, 1, 0, 0], name="b"))
    assert found.of_first.best.tolist() == [0]


@pytest.mark.parametrize("few", [0, 1 << 22])
def test_tables_of_many_blocks_are_those_of_one(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    rng = np.random.default_rng(2)
    first, second = rng.integers(-1, 30, 1000).astype(np.int32), rng.integers(-1, 20, 1000).astype(np.int32)
    whole = contingency(first, second, 30, 20)
    monkeypatch.setattr(tables, "BLOCK", 128)
    monkeypatch.setattr(tables, "FEW", few)
    found = cross_table(first, second, 30, 20)
    dense = np.zeros((30, 20), np.int64)
    dense[found.rows, found.columns] = found.counts
    assert np.array_equal(dense, whole)
    assert (found.counts > 0).all()
    assert np.all(np.diff(found.keys) > 0)
    cells = by_cell(found, found.counts.astype(float), first, second)
    both = (first >= 0) & (second >= 0)
    assert np.array_equal(cells[both], whole[first[both], second[both]])
    assert np.isnan(cells[~both]).all()
    assert np.array_equal(found.row_sizes, whole.sum(axis=1))
    assert np.array_equal(found.column_sizes, whole.sum(axis=0))


def test_cells_of_other_numbers_are_not_compared() -> None:
    with pytest.raises(ValueError, match="3 cells cannot be compared with 2"):
        compare(grouping([0, 1, 1]), grouping([0, 1]))
