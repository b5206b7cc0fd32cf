"""Finding X, a layer or raw, and what is said where there is none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellstrata.tasks.elements.opening import InputError
from tests.tasks.everything import FORMATS, G, N, save, saved
from tests.tasks.small_expression import atlas, counts, expression_in, frame, stored


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("which", "where", "kind"),
    [
        ({}, "X", "csr"),
        ({"layer": "dense"}, "layers['dense']", "dense"),
        ({"layer": "csc"}, "layers['csc']", "csc"),
        ({"raw": True}, "raw/X", "csr"),
    ],
)
def test_x_layers_and_raw(tmp_path: Path, form: str, which: dict[str, Any], where: str, kind: str) -> None:
    with expression_in(saved(tmp_path, form), **which) as found:
        assert (found.where, found.form, found.shape) == (where, kind, (N, G))
        assert list(found.genes) == [f"g{i}" for i in range(G)]
        assert found.repeated_genes == []


def test_raw_has_genes_of_its_own_and_names_may_repeat(tmp_path: Path) -> None:
    adata = atlas(counts(20, 6)[0])
    adata.raw = adata
    adata = adata[:, :2].copy()
    adata.var_names = ["a", "a"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = save(adata, tmp_path, "h5ad")
    with expression_in(path, raw=True) as found:
        assert list(found.genes) == [f"g{i}" for i in range(6)]
    with expression_in(path) as found:
        assert found.repeated_genes == ["a"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_base_of_logarithms(tmp_path: Path, form: str) -> None:
    for number, (noted, base) in enumerate([({"base": 2}, 2.0), ({"base": None}, None), ({}, None)]):
        path = save(atlas(counts(5, 3)[0], uns={"log1p": noted}), tmp_path, form, f"{number}")
        with expression_in(path) as found:
            assert found.log_base == base


def said(path: str, **which: Any) -> str:
    with pytest.raises(InputError) as caught, expression_in(path, **which):
        pass
    assert str(caught.value).startswith(path)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_not_there_is_named_with_what_is(tmp_path: Path, form: str) -> None:
    adata = atlas(None, shape=(9, 3), layers={"counts": counts(9, 3)[0]})
    path = save(adata, tmp_path, form)
    assert "X: is not in the file; there is layers['counts']: name one of these" in said(path)
    assert "layers['logs']: is not in the file; there is layers['counts']" in said(path, layer="logs")
    assert "raw/X: is not in the file; there is layers['counts']" in said(path, raw=True)
    bare = save(atlas(None, shape=(9, 3)), tmp_path, form, "bare")
    assert "it has no other expression values either" in said(bare)
    empty = save(atlas(np.zeros((9, 0), np.float32)), tmp_path, form, "empty")
    assert "X: is empty, 9 × 0" in said(empty)


def test_a_matrix_that_does_not_fit(tmp_path: Path) -> None:
    path = save(atlas(counts(9, 3)[0]), tmp_path, "h5ad")
    with h5py.File(path, "r+") as file:
        attrs = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=np.ones((9, 4), np.float32)).attrs.update(attrs)
    assert "X: is 9 × 4, but there are 9 cells and 3 genes" in said(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file.create_dataset("X", data=np.array([[b"a"] * 3] * 9)).attrs.update(attrs)
    assert "X: is no matrix of numbers" in said(path)


def test_one_of_both(tmp_path: Path) -> None:
    path = save(atlas(stored(counts(9, 3)[0], "csr")), tmp_path, "h5ad")
    with pytest.raises(ValueError, match="cannot both be read"), expression_in(path, layer="a", raw=True):
        pass
    assert list(frame(["a"]).columns) == []
