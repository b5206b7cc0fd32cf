"""The numbers of markers are scanpy's, whatever the values are stored as."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from cellstrata.configs.markers import METHODS, Method
from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.markers.contrasts import Against, ClusterColumn, contrasts
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.results.marker_tests import compare, read_parts
from tests.tasks.everything import FORMATS, save
from tests.tasks.small import pbmc
from tests.tasks.small_expression import KINDS, atlas, counts, expression_in, logs, stored, written

COUNTS, CODES = counts(400, 50, 6)
FINE = ClusterColumn("fine", CODES, ("0_0", "0_1", "0_2", "1_0", "1_1", "10_0"), ("0", "0", "0", "1", "1", "10"))
COARSE = ClusterColumn("coarse", np.array([0, 0, 0, 1, 1, 2], np.int32)[CODES], ("0", "1", "10"), ("", "", ""))
COLUMNS = [COARSE, FINE]

Found = dict[tuple[str, str, str], RankedGenes]


def found_in(path: str, columns: list[ClusterColumn], method: Method, normalize: bool, **more: Any) -> Found:
    against: tuple[Against, ...] = ("sisters", "all")
    asked, _ = contrasts(columns, against, 2)
    which = {name: more.pop(name) for name in ("layer", "raw") if name in more}
    with expression_in(path, **which) as expression:
        of = Logs(expression, normalize=normalize, values=more.pop("values", 300))
        parts = read_parts(of, columns)
        tests = compare(of, parts, asked, method=method, n_genes=more.pop("n_genes", 15), say=lambda text: None)
    names = [(columns[one.column].name, columns[one.column].labels[one.cluster], one.against) for one in asked]
    return dict(zip(names, tests, strict=True))


def scanpy_of(adata: ad.AnnData, labels: Any, method: str, reference: str = "rest") -> Any:
    """What `rank_genes_groups` says, with shares, of groups that are named by `labels`."""
    x = adata.X.astype(np.float64)  # scanpy before 1.12 squares values in the type that they are stored in
    made = ad.AnnData(x, obs=pd.DataFrame({"of": pd.Categorical(labels)}, index=adata.obs_names), var=adata.var)
    made.uns = dict(adata.uns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(
            made, "of", method=method, reference=reference, n_genes=15, tie_correct=method == "wilcoxon", pts=True,
            use_raw=False,
        )  # fmt: skip
    return made.uns["rank_genes_groups"]


def same(ours: RankedGenes, theirs: Any, group: str, genes: Any) -> None:
    """Compare to 1e-5, gene by gene; genes of equal scores may stand in another order, and one may be the last."""
    named = pd.DataFrame(
        {"score": ours.scores, "change": ours.log_fold_changes, "p": ours.p, "adjusted": ours.p_adjusted,
         "share": ours.shares}, index=np.asarray(genes)[ours.genes],
    )  # fmt: skip
    other = pd.DataFrame(
        {"score": theirs["scores"][group], "change": theirs["logfoldchanges"][group], "p": theirs["pvals"][group],
         "adjusted": theirs["pvals_adj"][group]}, index=theirs["names"][group],
    )  # fmt: skip
    other["share"] = theirs["pts"][group][other.index]
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(named["score"], other["score"], **close)
    both = [name for name in other.index if name in named.index]
    assert len(both) >= len(other) - 1
    assert set(named["score"][~named.index.isin(both)].round(4)) <= {round(other["score"].iloc[-1], 4)}
    for name in ("score", "change", "p", "adjusted", "share"):
        np.testing.assert_allclose(named.loc[both, name], other.loc[both, name], **close)
    few = named.loc[both, "p"] > 1e-250
    np.testing.assert_allclose(np.log10(named["p"][both][few]), np.log10(other["p"][few]), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_against_all_and_against_sisters(tmp_path: Path, method: Method) -> None:
    adata = atlas(sp.csr_matrix(logs(COUNTS)))
    found = found_in(save(atlas(sp.csr_matrix(COUNTS)), tmp_path, "h5ad"), COLUMNS, method, True)
    for column in COLUMNS:
        theirs = scanpy_of(adata, np.array(column.labels)[column.codes], method)
        for label in column.labels:
            same(found[column.name, label, "all"], theirs, label, adata.var_names)
    for parent in ("0", "1"):
        cells = np.isin(CODES, [number for number, of in enumerate(FINE.parents) if of == parent])
        theirs = scanpy_of(adata[cells].copy(), np.array(FINE.labels)[CODES[cells]], method)
        for label, of in zip(FINE.labels, FINE.parents, strict=True):
            if of == parent:
                same(found["fine", label, "sisters"], theirs, label, adata.var_names)
    theirs = scanpy_of(adata, np.array(FINE.labels)[CODES], method, reference="1_1")
    same(found["fine", "1_0", "sisters"], theirs, "1_0", adata.var_names)
    assert ("fine", "10_0", "sisters") not in found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("method", ["t-test", "wilcoxon"])
def test_any_form_gives_the_same_to_the_last_bit(tmp_path: Path, form: str, kind: str, method: Method) -> None:
    reference = found_in(save(atlas(sp.csr_matrix(COUNTS)), tmp_path, "h5ad", "whole"), COLUMNS, method, True)
    found = found_in(written(tmp_path, COUNTS, form, kind), COLUMNS, method, True, values=90)
    for name, one in found.items():
        for field in ("genes", "scores", "log_fold_changes", "p", "p_adjusted", "shares", "shares_of_rest"):
            np.testing.assert_array_equal(getattr(one, field), getattr(reference[name], field))


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.float64])
def test_layers_of_any_type(tmp_path: Path, dtype: Any) -> None:
    whole = save(atlas(sp.csr_matrix(COUNTS)), tmp_path, "h5ad", "whole")
    adata = atlas(None, shape=COUNTS.shape, layers={"counts": sp.csr_matrix(COUNTS.astype(dtype))})
    path = save(adata, tmp_path, "h5ad")
    reference = found_in(whole, COLUMNS, "t-test", True)
    for name, one in found_in(path, COLUMNS, "t-test", True, layer="counts").items():
        np.testing.assert_allclose(one.scores, reference[name].scores, rtol=1e-5)


@pytest.fixture(scope="module")
def blood() -> tuple[ad.AnnData, list[ClusterColumn]]:
    """The 700 cells with three levels of clusters: kinds, kinds by phase, and those by halves."""
    adata = pbmc()
    kinds, phases = adata.obs["bulk_labels"].cat.codes, adata.obs["phase"].cat.codes
    half = np.random.default_rng(0).integers(0, 2, adata.n_obs)
    columns, above = [], np.full(adata.n_obs, "", dtype=object)
    for number, codes in enumerate((kinds, phases, half)):
        labels = [f"{up}_{own}".strip("_") for up, own in zip(above, codes, strict=True)]
        there = sorted(set(labels))
        places = np.array([there.index(label) for label in labels], np.int32)
        parents = tuple(label.rpartition("_")[0] for label in there)
        columns.append(ClusterColumn(f"level {number + 1}", places, tuple(there), parents))
        above = np.array(labels, dtype=object)
    return adata, columns


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
@pytest.mark.parametrize("method", METHODS)
def test_three_levels_of_blood_cells_in_raw(
    tmp_path: Path, blood: tuple[ad.AnnData, list[ClusterColumn]], form: str, method: Method
) -> None:
    adata, columns = blood
    found = found_in(save(adata, tmp_path, form), columns, method, False, raw=True)
    whole = ad.AnnData(adata.raw.X, obs=adata.obs, var=adata.raw.var)
    for column in columns:
        sizes = column.sizes
        labels = np.array(column.labels, dtype=object)[column.codes]
        large = [label for label, n in zip(column.labels, sizes, strict=True) if n >= 2]
        labels[~np.isin(labels, large)] = None
        theirs = scanpy_of(whole, labels, method)
        assert [label for name, label, against in found if (name, against) == (column.name, "all")] == large
        for label in large[:12]:
            same(found[column.name, label, "all"], theirs, label, whole.var_names)


def test_cells_without_a_cluster_belong_to_all_others(tmp_path: Path) -> None:
    codes = np.where(np.arange(400) % 5 == 0, -1, CODES).astype(np.int32)
    column = ClusterColumn("some", codes, FINE.labels, ("",) * 6)
    adata = atlas(sp.csr_matrix(logs(COUNTS)))
    labels = np.array([*FINE.labels, None], dtype=object)[codes]
    for method in METHODS:
        found = found_in(save(adata, tmp_path, "h5ad", method), [column], method, False)
        theirs = scanpy_of(adata, labels, method)
        same(found["some", "0_1", "all"], theirs, "0_1", adata.var_names)
        known = codes >= 0
        theirs = scanpy_of(adata[known].copy(), labels[known], method)
        same(found["some", "0_1", "sisters"], theirs, "0_1", adata.var_names)


def test_logarithms_of_base_two(tmp_path: Path) -> None:
    adata = atlas(stored(logs(COUNTS) / np.float32(np.log(2)), "csr"), uns={"log1p": {"base": 2.0}})
    found = found_in(save(adata, tmp_path, "h5ad"), [FINE], "t-test", False)
    theirs = scanpy_of(adata, np.array(FINE.labels)[CODES], "t-test")
    same(found["fine", "1_0", "all"], theirs, "1_0", adata.var_names)
