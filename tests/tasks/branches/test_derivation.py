"""The embedding of a cluster's own is scanpy's, to the bit, and shows what that of all cells does not."""

from __future__ import annotations

from typing import Any

import anndata
import numpy as np
import pytest
import scanpy
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.tasks.branches.derivation import NotDerivable, derive
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.partition import partition
from tests.tasks.branches.planted import GENES, OWN, Rare, rare_subtype, recovered
from tests.tasks.small import graph_of


def asked(method: str = "hvg_pca", **more: Any) -> EmbeddingConfig:
    return EmbeddingConfig.model_validate({"method": method, "n_top_genes": 500, "n_comps": 10, **more})


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_it_is_what_scanpy_makes(planted: Rare, flavor: str, batch: bool, scale: bool) -> None:
    part = planted.data[planted.large].copy()
    codes = part.obs["donor"].astype("category").cat.codes.to_numpy().astype(np.int32) if batch else None
    found = derive(part.X, asked(flavor=flavor, scale=scale), None, codes)
    expressed = np.asarray((part.X != 0).sum(0)).reshape(-1) > 0
    with threadpool_limits(1):
        own = part[:, expressed].copy()
        own.obs["batch"] = part.obs["donor"].astype("category")
        scanpy.pp.highly_variable_genes(own, n_top_genes=500, flavor=flavor, batch_key="batch" if batch else None)
        own = own[:, own.var["highly_variable"]].copy()
        if scale:
            scanpy.pp.scale(own, max_value=10)
        scanpy.pp.pca(own, n_comps=10, random_state=0)
    assert (part.var_names[found.genes] == own.var_names).all()
    np.testing.assert_array_equal(found.values, own.obsm["X_pca"].astype(np.float32))
    assert found.values.dtype == np.float32


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_batches_of_few_cells_choose_no_genes(planted: Rare, flavor: str, kind: Any) -> None:
    part = planted.data[planted.large]
    codes = part.obs["donor"].astype("category").cat.codes.to_numpy().astype(np.int32)
    few = codes.copy()
    few[:1], few[1:10], few[10:40] = 3, 4, -1  # a cell, nine cells, and cells of no known donor
    kept = few <= 2
    kept &= few >= 0
    found = derive(part.X.astype(kind), asked(flavor=flavor), None, few)
    assert (found.genes == derive(part.X[kept].astype(kind), asked(flavor=flavor), None, codes[kept]).genes).all()
    assert len(found.values) == len(codes)
    assert np.isfinite(found.values).all()


def test_batches_that_are_too_few_are_left_out(planted: Rare) -> None:
    part = planted.data[planted.large].X
    alone = derive(part, asked())
    for codes in (np.zeros(part.shape[0], np.int32), np.arange(part.shape[0], dtype=np.int32)):
        np.testing.assert_array_equal(derive(part, asked(), None, codes).values, alone.values)
    silent = part.copy().tolil()
    silent[:30] = 0
    codes = np.ones(part.shape[0], np.int32)
    codes[:30] = 0  # a batch that expresses nothing
    assert np.isfinite(derive(silent.tocsr(), asked(), None, codes).values).all()


def test_counts_are_normalized_as_scanpy_does(planted: Rare) -> None:
    part = planted.data[planted.large]
    of_counts = derive(part.layers["counts"], asked(normalize=True))
    np.testing.assert_array_equal(of_counts.values, derive(part.X, asked()).values)


def test_a_pca_takes_the_genes_that_are_given(planted: Rare) -> None:
    part, given = planted.data[planted.large], planted.data.var["highly_variable"].to_numpy()
    found = derive(part.X, asked("pca"), given)
    assert (found.genes == np.flatnonzero(given)).all()
    np.testing.assert_array_equal(found.values, derive(part.X[:, given], asked("pca")).values)
    assert len(derive(part.X, asked("pca")).genes) == GENES


def test_a_dense_matrix_gives_nearly_the_same(planted: Rare) -> None:
    part = planted.data[planted.large].X
    sparse, dense = derive(part, asked()), derive(sp.csr_matrix(part.toarray()), asked())
    np.testing.assert_array_equal(sparse.values, dense.values)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_matter(planted: Rare, threads: int) -> None:
    part = planted.data[planted.large].X
    with threadpool_limits(threads):
        np.testing.assert_array_equal(derive(part, asked()).values, derive(part, asked()).values)


def test_the_given_matrix_stays_as_it_is(planted: Rare) -> None:
    part = planted.data[planted.large].layers["counts"].copy()
    before = part.copy()
    derive(part, asked(normalize=True, scale=True))
    assert (part != before).nnz == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rare_subtype_is_found_that_all_cells_do_not_show(seed: int) -> None:
    planted = rare_subtype(seed)
    rows = np.flatnonzero(planted.large)
    own = derive(planted.data.X[rows], asked())
    assert np.isin(np.arange(GENES - OWN, GENES), own.genes).mean() > 0.9
    best = {}
    for what, cells in (("own", own.values), ("reuse", planted.data.obsm["X_pca"][rows])):
        graph = graph_of(np.ascontiguousarray(cells), 15)
        labels = partition(graph, PartitionSpec("leiden", 0.5), load_engine("igraph")).labels
        best[what] = recovered(labels, planted.rare[rows])
    assert best["own"] > 0.9
    assert best["reuse"] < 0.2


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (np.ones((1, 5)), "1 cells and 5 genes are too few"),
        (np.ones((6, 5)), "same values"),
        (np.eye(6)[:, :1], "6 cells and 1 genes are too few"),
    ],
)
def test_cells_without_an_embedding(matrix: Any, said: str) -> None:
    with pytest.raises(NotDerivable, match=said):
        derive(sp.csr_matrix(matrix.astype(np.float32)), asked("pca"))


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize(
    ("matrix", "said"),
    [(np.zeros((30, 5)), "0 of the genes are expressed"), (np.ones((30, 5)), "the same values of all genes")],
)
def test_cells_of_which_no_genes_can_be_chosen(matrix: Any, said: str, flavor: str) -> None:
    with pytest.raises(NotDerivable, match=said):
        derive(sp.csr_matrix(matrix.astype(np.float32)), asked(flavor=flavor))


def test_fewer_components_where_there_cannot_be_more() -> None:
    matrix = sp.random(6, 30, 0.5, format="csr", dtype=np.float32, random_state=0)
    assert derive(matrix, asked("pca")).values.shape == (6, 5)


def test_seurat_v3_takes_counts(planted: Rare) -> None:
    pytest.importorskip("skmisc", reason="scikit-misc is not installed: pip install scikit-misc")
    part = planted.data[planted.large]
    found = derive(part.layers["counts"], asked(flavor="seurat_v3", normalize=True))
    own = anndata.AnnData(part.layers["counts"].copy())
    own = own[:, np.asarray((own.X != 0).sum(0)).reshape(-1) > 0].copy()
    scanpy.pp.highly_variable_genes(own, n_top_genes=500, flavor="seurat_v3")
    assert len(found.genes) == int(own.var["highly_variable"].sum())
