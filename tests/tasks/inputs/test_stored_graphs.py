"""Graphs that an input holds under other keys, without an embedding's name, without edges; and inputs without cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.stores.places import Place
from tests.tasks.small import CELLS, cache_at, graph_of

N = len(CELLS)


def cells(n_vars: int = 30, pca: int = 10) -> ad.AnnData:
    adata = ad.AnnData(np.ones((N, n_vars), np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(N)]))
    adata.X[:, 0] = CELLS[:, 0]
    adata.obsm["X_pca"] = np.repeat(CELLS, 10, axis=1)[:, :pca].copy()
    return adata


def with_graph(adata: ad.AnnData, key: str = "neighbors", matrix: str = "connectivities", **params: Any) -> ad.AnnData:
    adata.obsp[matrix] = graph_of(CELLS).to_csr()
    adata.obsp["a_distances"] = sp.csr_matrix((N, N), dtype=np.float32)
    adata.uns[key] = {
        "connectivities_key": matrix, "distances_key": "a_distances",
        "params": {"n_neighbors": 10, "method": "umap", "metric": "euclidean", **params},
    }  # fmt: skip
    return adata


def look(adata: ad.AnnData, tmp_path: Path, form: str = "h5ad", **settings: Any) -> tuple[Input | None, list[str]]:
    path = tmp_path / f"in.{form}"
    adata.write_h5ad(path) if form == "h5ad" else adata.write_zarr(path)
    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
    return inspect_input("d", "f", Place(str(path)), config, str(tmp_path / "out"), cache_at(tmp_path / "cache"))


def found(result: tuple[Input | None, list[str]]) -> Input:
    assert result[1] == []
    assert result[0] is not None
    return result[0]


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_a_graph_under_another_key_is_told_first(form: str, tmp_path: Path) -> None:
    adata = with_graph(cells(), "integrated", "scvi_connectivities")
    known = found(look(adata, tmp_path, form))
    assert known.stored_graph is None
    (said,) = known.foremost
    assert known.notices[0] == said
    assert "uns['integrated'] (`neighbors_key: integrated`)" in said
    for settings in ({"neighbors_key": "integratd"}, {"neighbors": False}):
        (problem,) = look(adata, tmp_path, form, **settings)[1]
        assert "it has uns['integrated'] (`neighbors_key: integrated`)" in problem
    meant = found(look(adata, tmp_path, form, neighbors_key="integrated"))
    assert meant.stored_graph is not None
    assert meant.foremost == ()


def test_bare_matrices_are_listed_and_can_be_named(tmp_path: Path) -> None:
    adata = with_graph(cells(), "first", "first_connectivities")
    adata.obsp["wnn_connectivities"] = adata.obsp["joint"] = adata.obsp["first_connectivities"]
    (said,) = found(look(adata, tmp_path)).foremost
    for each in (
        "uns['first'] (`neighbors_key: first`)",
        "obsp['wnn_connectivities'] (`neighbors_key: wnn`)",
        "obsp['joint'] (`neighbors_key: joint`)",
    ):
        assert each in said
    assert "distances" not in said
    graphs = {found(look(adata, tmp_path, neighbors_key=key)).stored_graph for key in ("first", "wnn", "joint")}
    assert len(graphs) == 1
    assert None not in graphs


def test_without_any_graph_there_is_nothing_to_name(tmp_path: Path) -> None:
    known = found(look(cells(), tmp_path))
    assert known.foremost == ()
    assert known.notices == ("no neighbour graph is stored: one is computed",)


def representation(adata: ad.AnnData, tmp_path: Path, **settings: Any) -> str:
    return found(look(adata, tmp_path, hierarchy=2, **settings)).neighbors.embedding.use_rep


def test_deeper_levels_follow_what_scanpy_built_the_graph_on(tmp_path: Path) -> None:
    """scanpy.neighbors takes X of up to 50 variables, where neither use_rep nor n_pcs: 0 is recorded."""
    assert representation(with_graph(cells(50)), tmp_path) == "X"
    assert representation(with_graph(cells(51)), tmp_path) == "X_pca"
    assert representation(with_graph(cells(50), n_pcs=5), tmp_path) == "X"
    assert representation(with_graph(cells(51), n_pcs=0), tmp_path) == "X"
    assert representation(with_graph(cells(50), use_rep="X_pca"), tmp_path) == "X_pca"
    assert representation(with_graph(cells(50)), tmp_path, neighbors={"use_rep": "X_pca"}) == "X_pca"
    assert representation(with_graph(cells(8, 10)), tmp_path) == "X_pca", "computed when there were more variables"
    said = found(look(with_graph(cells(50)), tmp_path, hierarchy=2)).notices
    assert any("deeper levels use X " in notice for notice in said)


def test_of_several_embeddings_one_must_be_named(tmp_path: Path) -> None:
    adata = with_graph(cells(), use_rep={"rna": "X_pca", "prot": "X_apca"})
    assert found(look(adata, tmp_path)).stored_graph is not None
    (problem,) = look(adata, tmp_path, hierarchy=2)[1]
    assert "(prot: X_apca, rna: X_pca)" in problem or "(rna: X_pca, prot: X_apca)" in problem
    assert "neighbors.use_rep" in problem
    assert representation(adata, tmp_path, neighbors={"use_rep": "X_pca"}) == "X_pca"


@pytest.mark.parametrize("metric", ["l2", "sqeuclidean"])
def test_metrics_that_rank_as_euclidean_are_taken_for_it(metric: str, tmp_path: Path) -> None:
    known = found(look(with_graph(cells(), use_rep="X_pca", metric=metric), tmp_path, hierarchy=2))
    assert known.neighbors.metric == "euclidean"


def test_no_umap_of_a_graph_without_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adata = with_graph(cells())
    adata.obsp["connectivities"] = sp.csr_matrix((N, N), dtype=np.float32)
    found(look(adata, tmp_path))
    monkeypatch.setattr("cellstrata.tasks.inputs.index.RECENT", -1.0)
    for _ in range(2):  # the second time it is remembered
        (problem,) = look(adata, tmp_path, recompute_umap=True)[1]
        assert "has no edges, so no UMAP can be drawn" in problem


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_an_input_without_cells_is_refused(form: str, tmp_path: Path) -> None:
    (problem,) = look(with_graph(cells())[:0].copy(), tmp_path, form)[1]
    assert "obs: has no cells" in problem
