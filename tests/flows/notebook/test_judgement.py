"""`cs.tl.advise`, `evidence` and `compare`, and `cs.report`: the functions of the commands, of an AnnData in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellstrata as cs
from cellstrata.tasks.evaluation.compared_results import compare_results
from cellstrata.tasks.evaluation.comparison_frames import pair_frame
from cellstrata.tasks.stores.places import Place
from tests import ROOT
from tests.flows.conftest import Run
from tests.flows.outputs import tree_of
from tests.tasks.report.reports import parsed

pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: pip install matplotlib")
EVIDENCE = ["replicability", "expected", "p", "purity", "separation"]
FEW: dict[str, Any] = {"halves": 2, "null": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def how(folder: Path) -> dict[str, Any]:
    return {"cache": folder / "cache", "progress": False}


@pytest.fixture(scope="module")
def clustered(pbmc: Path, how: dict[str, Any]) -> ad.AnnData:
    """The 700 cells of the demo at two resolutions and two levels, with markers and without evidence."""
    adata = ad.read_h5ad(pbmc)
    cs.tl.cluster(adata, [0.2, 0.5], ensemble=1, runner="threads", **how)
    cs.tl.markers(adata, raw=True, n_genes=20)
    return adata


@pytest.fixture(scope="module")
def judged(clustered: ad.AnnData, how: dict[str, Any]) -> ad.AnnData:
    found = cs.tl.evidence(clustered, **FEW, batch_keys="phase", copy=True, **how)
    assert found is not None
    return found


def test_evidence_is_what_clustering_with_it_gathers(
    clustered: ad.AnnData, judged: ad.AnnData, pbmc: Path, how: dict[str, Any]
) -> None:
    assert "replicability" not in cs.get.tree(clustered)
    pd.testing.assert_frame_equal(judged.obs, clustered.obs)
    pd.testing.assert_frame_equal(cs.get.markers(judged), cs.get.markers(clustered))
    at_once = ad.read_h5ad(pbmc)
    cs.tl.cluster(
        at_once, [0.2, 0.5], ensemble=1, evidence=FEW, batch_keys=["phase"], **how, runner="threads"
    )  # fmt: skip
    pd.testing.assert_frame_equal(cs.get.tree(judged), cs.get.tree(at_once))
    assert cs.get.tree(judged)[EVIDENCE].notna().any().all()
    mine, theirs = (json.loads(of.uns["clustering"]["configuration"])["clustering"] for of in (judged, at_once))
    assert mine == theirs
    assert judged.uns["clustering"]["advice"] == at_once.uns["clustering"]["advice"]


def test_evidence_for_a_result_of_a_run_under_the_same_keys(one: Run, pbmc: Path, tmp_path: Path) -> None:
    asked = {"hierarchy": 2, "ensemble": 1, "resolutions": [0.5]}
    report = one(pbmc, asked)
    adata = cs.open_linked(report["output"])
    cs.tl.evidence(adata, **FEW, cache=tmp_path / "cache", progress=False)
    later = one(pbmc, {**asked, "evidence": FEW}, "later")
    assert later["splits"]["executed"] == 0
    assert tree_of(later)["replicability"].notna().sum() > 1
    mine = cs.get.tree(adata, "leiden_0.5_2").set_index(["column", "cluster"])
    run = tree_of(later).set_index(["column", "cluster"])
    for name in EVIDENCE:
        np.testing.assert_array_equal(mine[name], run.loc[mine.index, name])
    adata.write_h5ad(tmp_path / "with.h5ad")
    assert cs.get.tree(ad.read_h5ad(tmp_path / "with.h5ad")).shape == cs.get.tree(adata).shape


def test_evidence_for_clusters_that_have_other_ids(
    clustered: ad.AnnData, judged: ad.AnnData, how: dict[str, Any]
) -> None:
    matched, fewer = clustered.copy(), clustered[clustered.obs["leiden_0.5_1"] != "0"].copy()
    cs.tl.cluster(fewer, [0.2, 0.5], ensemble=1, runner="threads", **how)
    cs.tl.match(matched, fewer)
    known = ["was", "overlap", "new", "split_from", "merged_from"]
    before, obs = matched.uns["clustering"]["tree"].copy(), matched.obs.copy()
    cs.tl.evidence(matched, **FEW, batch_keys="phase", **how)
    pd.testing.assert_frame_equal(matched.obs, obs)
    tree = matched.uns["clustering"]["tree"]
    same = ["column", "cluster", "parent", "n_cells", *known]
    pd.testing.assert_frame_equal(tree[same], before[same], check_dtype=False)
    mine, theirs = (cs.get.tree(of, "leiden_0.5_1").set_index("cluster")["replicability"] for of in (matched, judged))
    ids = dict(zip(clustered.obs["leiden_0.5_1"], matched.obs["leiden_0.5_1"], strict=True))
    assert any(old != new for old, new in ids.items()), "no id has changed: the test says nothing"
    assert {ids[old]: value for old, value in theirs.dropna().items()} == mine.dropna().to_dict()


def test_sizes_are_those_of_the_cells_that_are_there(clustered: ad.AnnData, tmp_path: Path) -> None:
    few = clustered[:50].copy()
    tree = cs.get.tree(few, "leiden_0.5_1").set_index("cluster")["n_cells"]
    assert tree[tree > 0].to_dict() == few.obs["leiden_0.5_1"].value_counts().loc[lambda n: n > 0].to_dict()
    assert "cells were taken away" in Path(cs.report(few, tmp_path / "few.html")).read_text()
    assert "cells were taken away" not in Path(cs.report(clustered, tmp_path / "all.html")).read_text()


def test_evidence_for_other_labels_is_refused_and_nothing_changes(clustered: ad.AnnData, how: dict[str, Any]) -> None:
    moved = clustered.copy()
    moved.obsm["X_pca"] = moved.obsm["X_pca"][::-1].copy()
    before = moved.uns["clustering"]["tree"].copy()
    with pytest.raises(cs.InputError, match=r"obs\['leiden_0.*is not what its record makes of these cells"):
        cs.tl.evidence(moved, **FEW, **how)
    pd.testing.assert_frame_equal(moved.uns["clustering"]["tree"], before)
    renamed = clustered.copy()
    renamed.obs["leiden_0.5_1"] = renamed.obs["leiden_0.5_1"].cat.rename_categories({"0": "T cells"})
    with pytest.raises(cs.InputError, match=r"obs\['leiden_0.5_1'\]"):
        cs.tl.evidence(renamed, **FEW, **how)
    with pytest.raises(cs.InputError, match=r"call `cs.tl.cluster\(adata\)` first"):
        cs.tl.evidence(ad.AnnData(np.ones((3, 2))))
    with pytest.raises(cs.ConfigError, match="halves"):
        cs.tl.evidence(clustered, halves=-1, **how)


def test_advice_is_that_of_the_command_and_its_splits_are_kept(
    pbmc: Path, clustered: ad.AnnData, how: dict[str, Any], tmp_path: Path
) -> None:
    before = set(clustered.obs), set(clustered.uns), set(clustered.obsm)
    found = cs.tl.advise(clustered, [0.3], ensemble=1, **FEW, **how)
    assert (set(clustered.obs), set(clustered.uns), set(clustered.obsm)) == before
    assert 0.3 in set(found["resolution"])
    assert list(found["verdict"]).count("advised") == 1
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({
        "output_dir": str(tmp_path / "out"), "cache": str(how["cache"]), "runner": "threads",
        "DATASETS": {"d": {"input": {"clustering": {"f": str(pbmc)}}, "clustering": {
            "algorithm": "leiden", "resolutions": [0.3], "hierarchy": 1, "ensemble": 1, "evidence": FEW}}},
    }))  # fmt: skip
    command = [sys.executable, "-m", "cellstrata", "advise", str(config), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=ROOT)
    said = json.loads(run.stdout)["datasets"]["d/f"]
    assert said["splits"]["executed"] == 0
    (advice,) = said["advice"]
    listed = found[found["resolution"] != 0.3]
    swept = [row for row in advice["resolutions"] if row["resolution"] != 0.3]
    assert list(listed["replicability"]) == [row["replicability"] for row in swept]
    assert advice["advised"] == found.set_index("verdict").loc["advised", "resolution"]
    assert found.attrs["said"] == {"leiden": advice["said"]}


def test_comparison_has_the_numbers_of_the_command(clustered: ad.AnnData, folder: Path) -> None:
    part = clustered[40:].copy()
    part.write_h5ad(folder / "part.h5ad")
    clustered.write_h5ad(folder / "whole.h5ad")
    found = compare_results(Place(str(folder / "whole.h5ad")), Place(str(folder / "part.h5ad")))
    for other in (part, folder / "part.h5ad"):
        mine = cs.tl.compare(clustered, other=other)
        numbers = list(mine.columns[2:])
        pd.testing.assert_frame_equal(mine[numbers], pair_frame(found)[numbers])
    assert list(mine["first"])[-1] == "leiden_0.5_2 of this"
    assert set(mine["n_cells"]) == {660}
    pair = ["leiden_0.5_1", "bulk_labels"]
    groups = cs.tl.compare(clustered, pair, by="clusters")
    assert len(groups) == sum(clustered.obs[name].nunique() for name in pair)
    own = groups[groups["column"] == pair[0]].set_index("cluster")
    assert own["n_cells"].to_dict() == clustered.obs[pair[0]].value_counts().to_dict()
    row = own.loc["0"]
    inside = (clustered.obs[pair[0]] == "0").to_numpy() & (clustered.obs[pair[1]] == row["best"]).to_numpy()
    either = (clustered.obs[pair[0]] == "0").to_numpy() | (clustered.obs[pair[1]] == row["best"]).to_numpy()
    assert row["jaccard"] == inside.sum() / either.sum()
    cells = cs.tl.compare(clustered, pair, by="cells")
    assert list(cells.index) == list(clustered.obs_names)
    assert cells.iloc[:, 0].mean() == pytest.approx(cs.tl.compare(clustered, pair)["similarity"][0], abs=1e-6)


def test_what_cannot_be_compared_is_said(clustered: ad.AnnData) -> None:
    for how, said in (
        ({}, "adata: name two columns to compare"),
        ({"columns": ["leiden_0.5_1", "leiden_0.5_9"]}, "adata: column 'leiden_0.5_9': .*did you mean"),
        ({"other": clustered[:5].copy()[:, :3], "columns": "nothing"}, "nothing"),
        ({"other": "nowhere.h5ad"}, "nowhere.h5ad"),
    ):
        with pytest.raises(cs.InputError, match=said):
            cs.tl.compare(clustered, **how)
    with pytest.raises(ValueError, match="by: must be one of columns, clusters, cells"):
        cs.tl.compare(clustered, ["leiden_0.5_1", "phase"], by="genes")  # type: ignore[arg-type]


def test_figures_of_both(clustered: ad.AnnData, judged: ad.AnnData) -> None:
    pyplot.switch_backend("agg")
    assert "leiden_0.5_1 and bulk_labels" in _texts(cs.pl.compare(clustered, ["leiden_0.5_1", "bulk_labels"]))
    assert "Resolutions: leiden, 700 cells" in _texts(cs.pl.advice(judged))
    with pytest.raises(cs.InputError, match="3 pairs of columns are compared"):
        cs.pl.compare(clustered, ["leiden_0.5_1", "bulk_labels", "phase"])
    with pytest.raises(cs.InputError, match="advises no resolution of louvain"):
        cs.pl.advice(judged, "louvain")
    pyplot.close("all")


def _texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.figure.texts]


def test_the_report_of_an_adata_tells_of_all(judged: ad.AnnData, tmp_path: Path) -> None:
    url = cs.report(judged, tmp_path / "page.html", ["bulk_labels", "n_genes", "CST3"], title="PBMC & co")
    page = parsed(Path(url).read_text())
    assert page.facts["name"] == "PBMC & co"
    assert [tree["name"] for tree in page.facts["trees"]] == ["leiden 0.2", "leiden 0.5"]
    assert [of["name"] for of in page.facts["covariates"]] == ["bulk_labels", "n_genes"]
    assert [of["name"] for of in page.facts["genes"]] == ["CST3"]
    text = Path(url).read_text()
    best = cs.get.markers(judged, "leiden_0.5_1", "0", "all").iloc[0]
    assert f"{best['gene']} ({best['share_in']:.0%}, {best['share_out']:.0%})" in text
    assert "Evidence for splits" in text
    assert "Which resolution" in text
    judged.write_h5ad(tmp_path / "result.h5ad")
    again = cs.report(tmp_path / "result.h5ad", tmp_path / "page.html")  # our own page is replaced
    page = parsed(Path(again).read_text())
    assert page.facts["name"] == "result"
    assert [of["name"] for of in page.facts["covariates"]] == ["bulk_labels", "phase", "louvain", "batch"]


def test_a_report_that_cannot_be_is_said_and_nothing_is_lost(clustered: ad.AnnData, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<p>my page</p>")
    with pytest.raises(cs.OutputError, match="was not made by cellstrata and is left alone"):
        cs.report(clustered, mine)
    assert mine.read_text() == "<p>my page</p>"
    with pytest.raises(cs.OutputError, match=r"must end in .html"):
        cs.report(clustered, tmp_path / "page.htm")
    with pytest.raises(cs.InputError, match=r"'CST4': is neither a column of obs nor a gene; did you mean"):
        cs.report(clustered, tmp_path / "page.html", "CST4")
    changed = clustered.copy()
    changed.obs["leiden_0.5_1"] = changed.obs["leiden_0.5_1"].cat.rename_categories({"0": "<b>"})
    with pytest.raises(cs.InputError, match=r"obs\['leiden_0.5_1'\]: has <b>, which uns\['clustering'\] does not"):
        cs.report(changed, tmp_path / "page.html")
    with pytest.raises(cs.InputError, match=r"call `cs.tl.cluster\(adata\)` first"):
        cs.report(ad.AnnData(np.ones((3, 2))), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
