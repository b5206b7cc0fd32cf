"""Values as logarithms: scanpy's normalization, and what is said where they are not what they were said to be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.expression.ahead import ahead
from cellstrata.tasks.expression.blocks import Logs, sampled
from cellstrata.tasks.expression.gene_blocks import gene_blocks, runs
from cellstrata.tasks.expression.holdings import Holdings, contradiction
from tests.tasks.everything import FORMATS, save
from tests.tasks.small_expression import KINDS, MATRICES, atlas, counts, expression_in, logs, stored, written

COUNTS = counts(90, 30)[0]
LOGS = logs(COUNTS)


def table(found: Logs) -> Any:
    values: Any = np.zeros(found.expression.shape)
    for block in found.blocks():
        assert block.matrix.data.dtype in (np.float32, np.float64)
        values[block.rows, block.genes] = block.matrix.toarray()
    return values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_counts_are_normalized_as_scanpy_does(tmp_path: Path, form: str, kind: str) -> None:
    with expression_in(written(tmp_path, COUNTS, form, kind)) as expression:
        np.testing.assert_array_equal(table(Logs(expression, normalize=True, values=40)), LOGS)


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("kind", MATRICES)
def test_whole_numbers_of_any_type(tmp_path: Path, kind: str, dtype: Any) -> None:
    with expression_in(save(atlas(stored(COUNTS.astype(dtype), kind)), tmp_path, "h5ad")) as expression:
        np.testing.assert_allclose(table(Logs(expression, normalize=True)), LOGS, rtol=2e-6)


def test_very_deep_cells_and_empty_ones(tmp_path: Path) -> None:
    values = np.array([[1e9, 1, 3], [0, 0, 0], [1, 1, 1]], np.float64)
    with expression_in(save(atlas(sp.csr_matrix(values)), tmp_path, "h5ad")) as expression:
        share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
        np.testing.assert_allclose(table(Logs(expression, normalize=True)), np.log1p(1e4 * share), rtol=1e-13)


@pytest.mark.parametrize("kind", MATRICES)
def test_logarithms_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    for dtype in (np.float32, np.float64):
        with expression_in(save(atlas(stored(LOGS.astype(dtype), kind)), tmp_path, "h5ad")) as expression:
            found = Logs(expression, normalize=False)
            np.testing.assert_array_equal(table(found), LOGS)
            assert (found.sample.kind, found.seen.kind, found.notices) == ("logs", "logs", [])


@pytest.mark.parametrize(
    ("values", "normalize", "said"),
    [
        (COUNTS, False, "whole numbers from 0 to .*, which are counts; ask for `normalize`"),
        (LOGS, True, "which are logarithms already; leave `normalize` away"),
        (COUNTS - 1, True, "neither counts nor logarithms but scaled"),
        (LOGS - 1, False, "neither counts nor logarithms but scaled"),
        (COUNTS * 1e4 + 0.5, False, "too large for logarithms"),
        (np.where(COUNTS > 1, np.nan, COUNTS), True, "values that are not finite"),
        (COUNTS * 0, True, "zeros alone"),
        (COUNTS * 0, False, "zeros alone"),
    ],
)
@pytest.mark.parametrize("kind", MATRICES)
def test_values_that_are_not_what_was_said(tmp_path: Path, kind: str, values: Any, normalize: bool, said: str) -> None:
    path = save(atlas(stored(values, kind)), tmp_path, "h5ad")
    with expression_in(path) as expression, pytest.raises(InputError, match=said) as caught:
        list(Logs(expression, normalize=normalize).blocks())
    assert str(caught.value).startswith(f"{path}: X: holds ")


def test_what_the_sample_has_not_seen_is_found_in_passing(tmp_path: Path) -> None:
    values = np.tile(LOGS, (40, 1))
    values[150, 3] = -1
    path = save(atlas(sp.csr_matrix(values)), tmp_path, "h5ad")
    with expression_in(path) as expression:
        found = Logs(expression, normalize=False, values=500)
        assert found.sample.kind == "logs"
        with pytest.raises(InputError, match="from -1 to"):
            list(found.blocks())


def test_counts_without_their_background_are_normalized_and_said(tmp_path: Path) -> None:
    values = COUNTS * 97.3
    with expression_in(save(atlas(values), tmp_path, "h5ad")) as expression:
        found = Logs(expression, normalize=True)
        np.testing.assert_allclose(table(found), logs(values), rtol=1e-6)
        assert found.notices[0].startswith("X holds numbers that are not whole from 0 to ")


@pytest.mark.parametrize("kind", KINDS)
def test_genes_at_a_time(tmp_path: Path, kind: str) -> None:
    expressing = (COUNTS > 0).sum(axis=0)
    with expression_in(written(tmp_path, COUNTS, "h5ad", kind)) as expression:
        found = Logs(expression, normalize=True, values=60)
        seen = []
        assert sum(block.matrix.nnz for block in found.blocks()) == expressing.sum()
        for run, matrix in gene_blocks(found, expressing, 100):
            np.testing.assert_array_equal(matrix.toarray(), LOGS[:, run].T)
            assert matrix.format == "csr"
            seen += list(range(run.start, run.stop))
    assert seen == list(range(30))


def test_runs_of_genes() -> None:
    assert runs(np.array([5, 5, 20, 1, 1]), 10) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert runs(np.array([1, 1]), 10) == [slice(0, 2)]


def test_holdings_are_joined() -> None:
    one, other = Holdings.of(np.array([1.0, 2.0])), Holdings.of(np.array([-0.5]))
    assert one.joined(other) == Holdings(3, -0.5, 2.0, False)
    assert one.joined(Holdings.of(np.array([np.nan]))).kind == "not finite"
    assert Holdings().kind == "nothing"
    assert contradiction(one, normalize=True) == ""
    assert Holdings.of(np.array([True, False])).kind == "counts"


def test_a_sample_is_spread(tmp_path: Path) -> None:
    values = np.zeros((5000, 3), np.float32)
    values[-1] = 1.5
    for kind in MATRICES:
        with expression_in(save(atlas(stored(values, kind)), tmp_path, "h5ad", kind)) as expression:
            assert sampled(expression).kind == "logs"


def test_the_next_is_taken_meanwhile_and_errors_come_in_turn() -> None:
    taken = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        taken.set()
        yield 2
        raise ValueError("at the third")

    found = ahead(items())
    assert next(found) == 1
    assert taken.wait(10)
    assert next(found) == 2
    with pytest.raises(ValueError, match="at the third"):
        next(found)
