"""How far runs find clusters again, against the definition written out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellstrata.tasks.kernels.partition import number_by_size
from cellstrata.tasks.kernels.stability import stability

Labels = npt.NDArray[np.int32]
FEW_CELLS = arrays(np.int32, 12, elements=st.integers(0, 4))


def jaccard(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@given(arrays(np.int64, st.integers(0, 12), elements=st.sampled_from([-(2**40), -1, 0, 1, 2, 7, 11, 12, 2**31, 2**40])))
def test_clusters_are_numbered_by_falling_size_and_first_cell(raw: npt.NDArray[np.int64]) -> None:
    of_each = {label: np.flatnonzero(raw == label).tolist() for label in set(raw.tolist())}
    expected = sorted(of_each.values(), key=lambda cells: (-len(cells), cells))
    labels, sizes = number_by_size(raw)
    unsigned = number_by_size(raw.astype(np.uint64))  # of other values, where some are below 0
    assert np.array_equal(unsigned[0], labels)
    assert unsigned[1] == sizes
    assert [np.flatnonzero(labels == number).tolist() for number in range(len(sizes))] == expected
    assert sizes == [len(cells) for cells in expected]
    assert (labels.dtype, len(labels)) == (np.int32, len(raw))


@given(FEW_CELLS, st.lists(FEW_CELLS, min_size=1, max_size=4))
def test_it_is_the_mean_of_jaccard_indices(raw: Labels, runs: list[Labels]) -> None:
    labels, sizes = number_by_size(raw)
    found = stability(labels, runs)
    for cluster in range(len(sizes)):
        own = labels == cluster
        best = [max(jaccard(own, run == other) for other in set(run.tolist())) for run in runs]
        assert found.clusters[cluster] == pytest.approx(np.mean(best))
    for cell in range(len(labels)):
        each = [jaccard(labels == labels[cell], run == run[cell]) for run in runs]
        assert found.cells[cell] == pytest.approx(np.mean(each))
    assert found.cells.dtype == np.float32


def test_a_cluster_that_every_run_has_and_two_that_one_run_joins() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32)
    joined = np.array([3, 3, 3, 3, 1, 1, 1, 1], np.int32)  # numbers with gaps, as engines give them
    found = stability(labels, [labels, joined])
    assert found.clusters == pytest.approx((1.0, (1 + 3 / 4) / 2, (1 + 1 / 4) / 2))
    assert found.cells.tolist() == pytest.approx([1.0] * 4 + [0.875] * 3 + [0.625])
