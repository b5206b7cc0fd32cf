"""Blocks of a stored matrix: all of it once, whatever its form, and nothing of a damaged one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp

from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.expression.stored_blocks import has_whole_rows, stored_blocks
from tests.tasks.everything import FORMATS, save
from tests.tasks.small_expression import KINDS, MATRICES, atlas, counts, expression_in, stored, written

VALUES = counts(90, 30)[0]


def whole(expression: Expression, values: int) -> npt.NDArray[Any]:
    """Put the blocks together; no place is in two of them."""
    table = np.full(expression.shape, np.nan)
    for block in stored_blocks(expression, values):
        assert block.matrix.shape == (block.rows.stop - block.rows.start, block.genes.stop - block.genes.start)
        assert np.isnan(table[block.rows, block.genes]).all()
        assert (block.matrix.data != 0).all()
        table[block.rows, block.genes] = block.matrix.toarray()
    assert not np.isnan(table).any()
    return table


@pytest.mark.parametrize("values", [1, 40, 1000, 1 << 20])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_all_of_it_once(tmp_path: Path, form: str, kind: str, values: int) -> None:
    with expression_in(written(tmp_path, VALUES, form, kind)) as expression:
        np.testing.assert_array_equal(whole(expression, values), VALUES)


NUMBERS = [(kind, dtype) for kind in MATRICES for dtype in (np.float64, np.int32, np.uint8, np.int64, bool)]


@pytest.mark.parametrize(("kind", "dtype"), [*NUMBERS, ("dense", np.float16)])  # SciPy has no sparse one of these
def test_any_numbers(tmp_path: Path, kind: str, dtype: Any) -> None:
    values = (VALUES > 0).astype(dtype) if dtype is bool else VALUES.astype(dtype)
    with expression_in(save(atlas(stored(values, kind)), tmp_path, "h5ad")) as expression:
        np.testing.assert_array_equal(whole(expression, 200), values)


class Counted:
    """A stored array that notes how often each of its chunks is read."""

    def __init__(self, node: Any) -> None:
        self.node, self.read = node, Counter[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)

    def __getitem__(self, part: Any) -> Any:
        rows = part[0] if isinstance(part, tuple) else part
        size = self.node.chunks[0]
        self.read.update(range(rows.start // size, -(-rows.stop // size)))
        return self.node[part]


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_each_chunk_is_read_once(tmp_path: Path, kind: str) -> None:
    with expression_in(written(tmp_path, VALUES, "h5ad", kind)) as expression:
        parts = {name: Counted(expression.node[name]) for name in ("data", "indices")}
        node = {"indptr": expression.node["indptr"], **parts}
        assert sum(1 for _ in stored_blocks(replace(expression, node=node), 50)) > 3
        assert {times for part in parts.values() for times in part.read.values()} == {1}


def test_which_have_whole_rows(tmp_path: Path) -> None:
    for kind, answer in (("csr", True), ("csc", False), ("rows", True), ("columns", False)):
        with expression_in(written(tmp_path, VALUES, "h5ad", kind)) as expression:
            assert has_whole_rows(expression, 30) is answer


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_without_values_and_with_zeros_that_are_stored(tmp_path: Path, kind: str) -> None:
    nothing = stored(np.zeros((9, 4), np.float32), kind)
    with expression_in(save(atlas(nothing), tmp_path, "h5ad")) as expression:
        assert whole(expression, 10).sum() == 0
    some: Any = stored(VALUES, kind)
    some.data[::3] = 0
    with expression_in(save(atlas(some), tmp_path, "h5ad")) as expression:
        np.testing.assert_array_equal(whole(expression, 100), some.toarray())


@pytest.mark.parametrize("part", ["indices", "indptr", "data"])
def test_a_damaged_index_is_refused(tmp_path: Path, part: str) -> None:
    path = save(atlas(sp.csr_matrix(VALUES)), tmp_path, "h5ad")
    with h5py.File(path, "r+") as file:
        if part == "indices":
            file["X/indices"][5] = 30
        elif part == "indptr":
            file["X/indptr"][5] = 10**6
        else:
            old = file["X/data"][:-1]
            del file["X/data"]
            file["X"].create_dataset("data", data=old)
    with expression_in(path) as expression, pytest.raises(InputError, match=f"X: is damaged: its {part} do not fit"):
        list(stored_blocks(expression))
