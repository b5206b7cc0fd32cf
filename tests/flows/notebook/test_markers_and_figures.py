"""`cs.tl.markers`, `cs.get` and `cs.pl`: numbers of the commands, figures of a run, of an AnnData in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import cellstrata as cs
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.results.marker_genes import MarkerRequest, write_markers
from cellstrata.tasks.stores.places import Place

pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: pip install matplotlib")


@pytest.fixture(scope="module")
def clustered(pbmc: Path, tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    """The 700 cells of the demo at two resolutions and two levels, an ensemble."""
    adata = ad.read_h5ad(pbmc)
    cs.tl.cluster(
        adata, [0.2, 0.5], ensemble=2, batch_keys=["phase"], cache=tmp_path_factory.mktemp("cache"), runner="threads",
        progress=False,
    )  # fmt: skip
    return adata


@pytest.fixture(autouse=True)
def figures() -> Any:
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.mark.parametrize("method", ["t-test", "wilcoxon"])
def test_markers_have_the_numbers_of_the_command(clustered: ad.AnnData, method: Any, tmp_path: Path) -> None:
    copied = cs.tl.markers(clustered, raw=True, method=method, n_genes=15, copy=True)
    assert copied is not None
    assert "clustering_markers" not in clustered.uns
    clustered.write_h5ad(tmp_path / "result.h5ad")
    found = write_markers(Place(str(tmp_path / "result.h5ad")), MarkerRequest(raw=True, method=method, n_genes=15))
    mine = cs.get.markers(copied)
    pd.testing.assert_frame_equal(mine, pq.read_table(found.table).to_pandas())
    own = cs.get.markers(copied, "leiden_0.5_2", "0_0", "sisters")
    assert set(own["parent"]) == {"0"}
    assert list(own["rank"]) == list(range(1, 16))
    copied.write_h5ad(tmp_path / "with.h5ad")
    again = ad.read_h5ad(tmp_path / "with.h5ad")
    pd.testing.assert_frame_equal(cs.get.markers(again), mine, check_categorical=False)


def test_markers_of_other_clusters_do_not_stay(clustered: ad.AnnData, tmp_path: Path) -> None:
    adata = clustered.copy()
    cs.tl.markers(adata, "leiden_0.5_1", raw=True, against="all", n_genes=3)
    assert set(cs.get.markers(adata)["column"]) == {"leiden_0.5_1"}
    how: dict[str, Any] = {"ensemble": 1, "cache": tmp_path, "runner": "threads", "progress": False}
    cs.tl.cluster(adata, [0.5], **how)
    assert "clustering_markers" not in adata.uns
    cs.tl.markers(adata, raw=True, n_genes=3)
    cs.tl.cluster(adata, [0.5], **how)
    assert "clustering_markers" in adata.uns


def test_what_is_wrong_with_markers_is_said(clustered: ad.AnnData) -> None:
    for how, said in (
        ({"layer": "counts"}, r"adata: layers\['counts'\]: is not there; there is X, raw"),
        ({"raw": True, "normalize": True}, "adata: raw/X: .*normalize"),
        ({"columns": "leiden_0.5_3"}, r"adata: obs\['leiden_0.5_3'\]: is no column of uns.*did you mean"),
        ({"min_cells": 1000}, "nothing can be compared"),
    ):  # fmt: skip
        with pytest.raises(cs.InputError, match=said):
            cs.tl.markers(clustered, **how)  # type: ignore[arg-type]
    with pytest.raises(cs.ConfigError, match=r"^method: .*did you mean"):
        cs.tl.markers(clustered, method="wilcox")  # type: ignore[arg-type]
    with pytest.raises(cs.InputError, match=r"call `cs.tl.cluster\(adata\)` first"):
        cs.tl.markers(ad.AnnData(np.ones((3, 2))))


def test_the_tree_is_a_frame_of_clusters(clustered: ad.AnnData) -> None:
    tree = cs.get.tree(clustered, "leiden_0.5_2")
    assert set(tree["column"]) == {"leiden_0.5_1", "leiden_0.5_2"}
    assert {"stability", "agreement"} < set(tree.columns)
    assert "replicability" not in tree
    for level, own in tree.groupby("level"):
        assert own["n_cells"].sum() == 700
        assert set(own["cluster"]) == set(clustered.obs[f"leiden_0.5_{level}"].cat.categories)
    children = tree[tree["level"] == 2].groupby("parent")["n_cells"].sum()
    assert children.to_dict() == tree[tree["level"] == 1].set_index("cluster")["n_cells"].to_dict()
    assert len(cs.get.tree(clustered)) == sum(
        clustered.obs[name].nunique() for name in clustered.obs if "leiden_0" in name
    )


DRAWN: dict[str, Callable[[ad.AnnData], Any]] = {
    "tree": lambda adata: cs.pl.tree(adata, "leiden_0.2_2"),
    "clustree": cs.pl.clustree,
    "umap of clusters": cs.pl.umap,
    "umap of a column": lambda adata: cs.pl.umap(adata, "phase"),
    "umap of numbers": lambda adata: cs.pl.umap(adata, "n_genes", basis="umap"),
    "stability": cs.pl.stability,
    "composition": lambda adata: cs.pl.composition(adata, "phase"),
    "composition of numbers": lambda adata: cs.pl.composition(adata, "percent_mito", "leiden_0.5_1"),
}


@pytest.mark.parametrize("what", DRAWN)
def test_figures_are_pyplots_and_can_be_saved(what: str, clustered: ad.AnnData, tmp_path: Path) -> None:
    axes = DRAWN[what](clustered)
    assert isinstance(axes, pyplot.Axes)
    assert pyplot.fignum_exists(axes.figure.number)
    axes.figure.savefig(tmp_path / "figure.png")
    pixels = pyplot.imread(tmp_path / "figure.png")[..., :3]
    assert 0.01 < (pixels < 0.9).any(axis=2).mean() < 0.9
    assert any("700 cells" in text.get_text() for text in axes.figure.texts)


def test_what_cannot_be_drawn_is_said_and_leaves_no_figure(clustered: ad.AnnData) -> None:
    single = clustered.copy()
    del single.obsm["X_umap"], single.uns["clustering"]["stability"]
    for draw, said in (
        (lambda: cs.pl.umap(single), r"obsm\['X_umap'\]: is no map.*sc.tl.umap"),
        (lambda: cs.pl.stability(single), "single runs"),
        (lambda: cs.pl.composition(single, "phse"), "did you mean `phase`"),
        (lambda: cs.pl.clustree(single, "louvain"), "fewer than two resolutions"),
    ):
        with pytest.raises(cs.InputError, match=said):
            draw()
    assert not pyplot.get_fignums()


def test_a_result_of_a_run_is_drawn_too(one: Any, pbmc: Path) -> None:
    adata = open_linked(one(pbmc, {"hierarchy": 2})["output"])
    assert len(cs.get.tree(adata, "leiden_0.5_2")) > 5
    assert cs.pl.tree(adata).figure.texts
