"""What scanpy's plots and tables take, from the table of markers, and as scanpy would have made it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp

import cellstrata as cs
from cellstrata.tasks.results.marker_genes import MarkerRequest, write_markers
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.everything import save
from tests.tasks.small_expression import atlas, counts, labelled, logs, tree

mpl.use("Agg")
COUNTS, CODES = counts(400, 50, 5)
LEAVES = np.array(["0_0", "0_1", "1_0", "10_0", "10_1"])
NAMES = {"leiden_0.5_1": {"0": "", "1": "", "10": ""}, "leiden_0.5_2": {leaf: leaf[:-2] for leaf in LEAVES.tolist()}}
FINE = "leiden_0.5_2"


@pytest.fixture
def adata() -> ad.AnnData:
    """A result of two levels with logarithms as X."""
    obs = labelled(FINE, LEAVES[CODES].tolist())
    obs |= labelled("leiden_0.5_1", [leaf[:-2] for leaf in LEAVES[CODES]])
    return atlas(sp.csr_matrix(logs(COUNTS)), obs, uns={"clustering": tree(NAMES)})


def found(adata: ad.AnnData, folder: Path, **asked: Any) -> str:
    """The result's path; its markers are beside it."""
    path = save(adata, folder, "zarr3", "r")
    write_markers(Place(path), MarkerRequest(**asked))
    return path


@pytest.mark.parametrize("method", ["t-test", "wilcoxon"])
def test_it_is_what_scanpy_leaves(adata: ad.AnnData, tmp_path: Path, method: Any) -> None:
    path = found(adata, tmp_path, method=method, n_genes=12)
    ours = cs.rank_genes_groups(path, FINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(
            adata, FINE, method=method, n_genes=12, pts=True, use_raw=False, tie_correct=method == "wilcoxon"
        )
    theirs = adata.uns["rank_genes_groups"]
    assert ours["params"] == {**theirs["params"], "normalize": False}
    assert set(ours) == set(theirs)
    for name in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges"):
        assert ours[name].dtype == theirs[name].dtype
        assert type(ours[name]) is type(theirs[name])
        for group in LEAVES:
            if name == "names":
                assert ours[name][group].tolist() == theirs[name][group].tolist()
            else:
                np.testing.assert_allclose(ours[name][group], theirs[name][group], rtol=1e-4, atol=1e-5)
    for name in ("pts", "pts_rest"):
        for group in LEAVES:
            own = ours[name][group].dropna()
            assert set(own.index) == set(ours["names"][group])
            np.testing.assert_allclose(own, theirs[name][group][own.index])


def test_scanpys_tables_and_plots_take_it(adata: ad.AnnData, tmp_path: Path) -> None:
    path = found(adata, tmp_path, n_genes=9)
    adata.uns["rank_genes_groups"] = cs.rank_genes_groups(path, FINE)
    adata.uns["sisters"] = cs.rank_genes_groups(Path(path).with_suffix("") / "markers.parquet", FINE, "sisters")
    adata.write_h5ad(tmp_path / "kept.h5ad")
    again = ad.read_h5ad(tmp_path / "kept.h5ad")
    for of in (adata, again):
        table = sc.get.rank_genes_groups_df(of, group="10_1")
        assert table.columns.tolist() == [
            "names", "scores", "logfoldchanges", "pvals", "pvals_adj", "pct_nz_group", "pct_nz_reference",
        ]  # fmt: skip
        assert len(table) == 9
        assert table.notna().all().all()
        assert len(sc.get.rank_genes_groups_df(of, group=None, key="sisters")) == 4 * 9  # 1_0 has none
        for key in ("rank_genes_groups", "sisters"):
            drawn = sc.pl.rank_genes_groups_dotplot(of, n_genes=2, key=key, dendrogram=False, return_fig=True)
            assert len(drawn.var_names) == 2 * (5 if key == "rank_genes_groups" else 4)
            assert sc.pl.rank_genes_groups(of, n_genes=2, key=key, show=False)[0].get_title() in (
                "0_0 vs. rest", "0_0 vs. sisters",
            )  # fmt: skip
    mpl.pyplot.close("all")
    assert again.uns["sisters"]["params"]["reference"] == "sisters"


def test_what_was_asked_is_in_params(adata: ad.AnnData, tmp_path: Path) -> None:
    adata.layers["counts"] = sp.csr_matrix(COUNTS)
    adata.var_names = ["g1", *adata.var_names[1:]]
    path = found(adata, tmp_path, layer="counts", normalize=True, against=("all",), n_genes=100)
    ours = cs.rank_genes_groups(path, FINE)
    assert (ours["params"]["layer"], ours["params"]["use_raw"], ours["params"]["normalize"]) == ("counts", False, True)
    assert len(ours["names"]) == 50
    assert not {"pts", "pts_rest"} & set(ours)  # g1 stands for two genes
    with pytest.raises(cs.InputError, match="was not compared with 'sisters'; find its markers anew"):
        cs.rank_genes_groups(path, FINE, "sisters")
    with pytest.raises(cs.InputError, match="against 'rest': must be `sisters` or `all`"):
        cs.rank_genes_groups(path, FINE, "rest")
    with pytest.raises(cs.InputError, match=r"column 'leiden_0.5_3': has no marker genes; did you mean `leiden_0.5_"):
        cs.rank_genes_groups(path, "leiden_0.5_3")
    with pytest.raises(cs.InputError, match="is no table of marker genes; `cellstrata markers RESULT` writes one"):
        cs.rank_genes_groups(tmp_path / "nothing.zarr", FINE)


def test_a_table_in_a_bucket(adata: ad.AnnData, tmp_path: Path) -> None:
    path = found(adata, tmp_path, n_genes=3)
    Store.at("memory://scanpy/r").write(
        "markers.parquet", (Path(path).with_suffix("") / "markers.parquet").read_bytes()
    )
    ours = cs.rank_genes_groups("memory://scanpy/r.zarr", FINE)
    assert ours["names"].tolist() == cs.rank_genes_groups(path, FINE)["names"].tolist()
