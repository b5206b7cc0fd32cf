"""Genes are read from X once, and again when X has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.tasks.elements.kinds import Look
from cellstrata.tasks.elements.opening import Opened, open_anndata
from cellstrata.tasks.evaluation import gene_cache as module
from cellstrata.tasks.evaluation.gene_cache import GeneSource, kept_genes
from cellstrata.tasks.evaluation.gene_values import read_genes
from cellstrata.tasks.stores.places import Place
from tests.tasks.places import opened
from tests.tasks.small import cache_at

NAMES = ["g3", "no gene", "g1"]


def written(path: Path, values: Any) -> Path:
    adata = anndata.AnnData(values, var=pd.DataFrame(index=[f"g{i}" for i in range(values.shape[1])]))
    adata.write_zarr(path) if path.suffix == ".zarr" else adata.write_h5ad(path)
    return path


def table(dtype: type) -> Any:
    values = np.random.default_rng(0).normal(size=(30, 6)).astype(dtype)
    values[0, 3] = np.nan
    return values


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("values", [table(np.float32), table(np.float64), sp.csr_matrix(table(np.float32) > 0.5)])
def test_genes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, values: Any) -> None:
    path = written(tmp_path / f"x.{suffix}", values.astype(np.float32) if sp.issparse(values) else values)
    source, asked = GeneSource(opened(str(path)), cache_at(tmp_path / "cache")), list[str]()
    real = module.read_genes
    monkeypatch.setattr(module, "read_genes", lambda root, names: (asked.extend(names), real(root, names))[1])

    def found(names: list[str], source: GeneSource = source) -> list[Any]:
        asked.clear()
        with open_anndata(Place(str(path))) as root:
            kept, read = kept_genes(root, names, source), read_genes(root, names)
        assert [gene.name for gene in kept] == [gene.name for gene in read]
        for one, other in zip(kept, read, strict=True):
            assert one.values.dtype == other.values.dtype
            np.testing.assert_array_equal(one.values, other.values)
        return kept

    assert [gene.name for gene in found(NAMES)] == ["g3", "g1"]
    assert asked == NAMES
    found(NAMES[::-1])
    assert asked == ["no gene"]
    found(["g1", "g5"])
    assert asked == ["g5"]
    found(["g1"], GeneSource(opened(str(path)), source.cache, fresh=True))
    assert asked == ["g1"]


def test_another_x_is_read_anew(tmp_path: Path) -> None:
    path, values = tmp_path / "x.zarr", table(np.float64)

    def gene() -> Any:
        with open_anndata(Place(str(path))) as root:
            return kept_genes(root, ["g3"], source)[0].values

    written(path, values)
    source = GeneSource(opened(str(path)), cache_at(tmp_path / "cache"))
    root_metadata = {file: file.stat() for file in path.iterdir() if file.is_file()}
    np.testing.assert_array_equal(gene(), values[:, 3])
    chunk = next(
        file for file in (path / "X").rglob("*") if file.is_file() and not file.name.startswith((".z", "zarr.json"))
    )
    other = written(tmp_path / "other.zarr", values + 1)
    chunk.write_bytes((other / chunk.relative_to(path)).read_bytes())
    for file, stat in root_metadata.items():
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    np.testing.assert_array_equal(gene(), values[:, 3] + 1)


def test_where_there_is_no_x_nothing_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    anndata.AnnData(obsm={"X_pca": np.zeros((4, 2), np.float32)}).write_h5ad(path)
    with open_anndata(Place(str(path))) as root:
        nowhere = Opened(Place(str(tmp_path / "nowhere")), Look("h5ad", {}))
        assert kept_genes(root, ["g1"], GeneSource(nowhere, cache_at(tmp_path))) == []
