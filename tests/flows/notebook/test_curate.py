"""`cs.tl.curate`: what the command `curate` writes into a file, of an AnnData in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellstrata as cs
from cellstrata.tasks.curation.curate import curate
from cellstrata.tasks.exports.export import export_result
from cellstrata.tasks.stores.places import Place

COLUMN = "leiden_0.5_1"


@pytest.fixture(scope="module")
def clustered(pbmc: Path, tmp_path_factory: pytest.TempPathFactory) -> ad.AnnData:
    adata = ad.read_h5ad(pbmc)
    cs.tl.cluster(
        adata, [0.5], ensemble=1, cache=tmp_path_factory.mktemp("cache"), runner="threads", progress=False
    )  # fmt: skip
    return adata


def curation(clusters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"curator": "Jane Doe", "columns": {COLUMN: {"clusters": clusters, "unnamed": "keep", **more}}}


MONOCYTE = {"name": "Monocyte", "ontology": "CL:0000576", "color": "#1f77b4"}
CURATION = curation({"0": MONOCYTE, "1": "Dendritic <cell>", "5": "Dendritic <cell>"}, merge=[["1", "5"]])


def test_names_are_those_that_the_command_writes(clustered: ad.AnnData, tmp_path: Path) -> None:
    before = clustered.copy()
    named = cs.tl.curate(clustered, CURATION, copy=True)
    assert named is not None
    pd.testing.assert_frame_equal(clustered.obs, before.obs)
    clustered.write_h5ad(tmp_path / "result.h5ad")
    file = tmp_path / "curation.yaml"
    file.write_text(json.dumps(CURATION))
    curate(Place(str(tmp_path / "result.h5ad")), Place(str(file)), Place(str(tmp_path / "named.h5ad")))
    written = ad.read_h5ad(tmp_path / "named.h5ad")
    for name in (f"{COLUMN}_name", f"{COLUMN}_ontology_term_id"):
        assert list(named.obs[name].astype(str)) == list(written.obs[name].astype(str))
    colors = f"{COLUMN}_name_colors"
    np.testing.assert_array_equal(named.uns[colors], written.uns[colors])
    (mine,), (theirs,) = (json.loads(each.uns["clustering"]["curation"]) for each in (named, written))
    assert mine["groups"] == theirs["groups"]
    assert (mine["curator"], mine["file"]) == ("Jane Doe", "curation")
    merged = named.obs[f"{COLUMN}_name"] == "Dendritic <cell>"
    assert (merged == clustered.obs[COLUMN].isin(["1", "5"])).all()
    named.write_h5ad(tmp_path / "mine.h5ad")
    again = ad.read_h5ad(tmp_path / "mine.h5ad")
    cs.tl.curate(again, file)  # a second time, of a file: its own columns are no obstacle
    assert len(json.loads(again.uns["clustering"]["curation"])) == 2
    assert cs.get.tree(again, COLUMN).equals(cs.get.tree(named, COLUMN))


def test_what_does_not_fit_is_told_at_once_and_nothing_is_written(clustered: ad.AnnData, tmp_path: Path) -> None:
    before = clustered.copy()
    with pytest.raises(cs.ConfigError) as raised:
        cs.tl.curate(clustered, curation({"77": "T cell", "0": {"name": "B cell", "ontology": "CL:1"}}))
    assert "CL:1" in str(raised.value)
    with pytest.raises(cs.ConfigError, match=r"has no cluster '77'"):
        cs.tl.curate(clustered, curation({"77": "T cell", "0": "B cell"}))
    with pytest.raises(cs.ConfigError, match="curator"):
        cs.tl.curate(clustered, {"columns": {}})
    with pytest.raises(cs.InputError, match="there is no such file"):
        cs.tl.curate(clustered, tmp_path / "none.yaml")
    with pytest.raises(cs.InputError, match=r"call `cs.tl.cluster\(adata\)` first"):
        cs.tl.curate(ad.AnnData(np.ones((3, 2))), CURATION)
    pd.testing.assert_frame_equal(clustered.obs, before.obs)
    assert "curation" not in clustered.uns["clustering"]


def test_names_stay_with_their_cells_when_ids_change(clustered: ad.AnnData, tmp_path: Path) -> None:
    named = cs.tl.curate(clustered, curation({"0": "Monocyte", "1": "Dendritic"}), copy=True)
    assert named is not None
    fewer = named[named.obs[COLUMN] != "0"].copy()
    cs.tl.cluster(fewer, [0.5], ensemble=1, cache=tmp_path / "cache", runner="threads", progress=False)
    assert f"{COLUMN}_name" not in fewer.obs, "names of other clusters stay"
    cs.tl.match(named, fewer)
    assert (named.obs[COLUMN] != clustered.obs[COLUMN].astype(str)).any(), "no id has changed: the test says nothing"
    for label, name in (("0", "Monocyte"), ("1", "Dendritic")):
        assert (clustered.obs[COLUMN][named.obs[f"{COLUMN}_name"] == name] == label).all()
    rest = ~named.obs[f"{COLUMN}_name"].isin(["Monocyte", "Dendritic"])
    assert (named.obs[f"{COLUMN}_name"][rest].astype(str) == named.obs[COLUMN][rest].astype(str)).all()
    named.write_h5ad(tmp_path / "named.h5ad")
    export_result(Place(str(tmp_path / "named.h5ad")), "csv", Place(str(tmp_path / "labels.csv")))
    table = pd.read_csv(tmp_path / "labels.csv", index_col=0, dtype=str)
    assert list(table[f"{COLUMN}_name"]) == list(named.obs[f"{COLUMN}_name"].astype(str))


def test_names_stay_where_the_same_clusters_are_made_again(clustered: ad.AnnData, tmp_path: Path) -> None:
    named = cs.tl.curate(clustered, CURATION, copy=True)
    assert named is not None
    before = named.obs[f"{COLUMN}_name"].copy()
    cs.tl.cluster(named, [0.5], ensemble=1, cache=tmp_path / "cache", runner="threads", progress=False)
    pd.testing.assert_series_equal(named.obs[f"{COLUMN}_name"], before)
    cs.tl.curate(named, CURATION)  # its own columns are no obstacle
    assert len(json.loads(named.uns["clustering"]["curation"])) == 2


def test_labels_that_the_record_does_not_tell_of_are_refused(clustered: ad.AnnData) -> None:
    renamed = clustered.copy()
    renamed.obs[COLUMN] = renamed.obs[COLUMN].cat.rename_categories({"0": "Mono"})
    with pytest.raises(cs.InputError, match=rf"obs\['{COLUMN}'\]: has Mono, which uns"):
        cs.tl.curate(renamed, curation({"0": "Monocyte"}))
    with pytest.raises(cs.InputError, match=rf"obs\['{COLUMN}'\]: has Mono, which uns"):
        cs.tl.match(renamed, clustered)
    with pytest.raises(TypeError, match="must be an AnnData, not DataFrame"):
        cs.tl.match(clustered, clustered.obs)  # type: ignore[arg-type]
