"""Nested label columns of an annotated atlas, taken for a tree of clusters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellstrata as cs
from cellstrata.tasks.exports.export import export_result
from cellstrata.tasks.report.adata_subject import adata_subject
from cellstrata.tasks.report.clusters import grown_trees
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.explain import explain
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.rows import TreeRows

TYPES = {"CD4": "T", "CD8": "T", "B": "B", "plasma": "B", "mast": "Myeloid"}


def atlas() -> ad.AnnData:
    """60 cells of five types in three classes. Six have no type, all mast cells among them."""
    fine = np.array([list(TYPES)[cell % 5] for cell in range(60)], dtype=object)
    coarse = pd.Categorical([TYPES[label] for label in fine], categories=["T", "Myeloid", "B", "unused"])
    fine[(fine == "mast") | (np.arange(60) == 5)] = None
    rng = np.random.default_rng(0)
    x = rng.random((60, 8)).astype(np.float32)
    x[coarse == "T", :3] += 2
    obs = pd.DataFrame({"class": coarse, "type": fine}, index=[f"c{cell}" for cell in range(60)])
    return ad.AnnData(x, obs=obs, obsm={"X_umap": rng.random((60, 2))})


def test_labels_are_clusters_with_their_parents() -> None:
    adata = atlas()
    before = adata.obs.copy()
    assert cs.tl.adopt(adata, ["class", "type"]) is None
    pd.testing.assert_frame_equal(adata.obs, before)
    tree = cs.get.tree(adata, "type")
    assert tree[["column", "cluster", "parent", "level", "n_cells", "n_children"]].to_numpy().tolist() == [
        ["class", "B", "", 1, 24, 2],
        ["class", "Myeloid", "", 1, 12, 0],
        ["class", "T", "", 1, 24, 2],
        ["type", "B", "B", 2, 12, 0],
        ["type", "plasma", "B", 2, 12, 0],
        ["type", "CD4", "T", 2, 11, 0],
        ["type", "CD8", "T", 2, 12, 0],
    ]
    assert tree["reason"].tolist() == ["", "no finer labels", "", *["last level"] * 4]
    colors = adata.uns["class_colors"]
    assert len(colors) == 4
    assert "type_colors" not in adata.uns  # no categorical


def test_markers_figures_and_commands_take_them(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: pip install matplotlib")
    pyplot.switch_backend("agg")
    adata = atlas()
    cs.tl.adopt(adata, ["class", "type"], key_added="types")
    cs.tl.markers(adata, n_genes=3, min_cells=5, key="types")
    found = cs.get.markers(adata, "type", "CD4", "sisters", key="types")
    assert set(found["parent"]) == {"T"}
    assert set(cs.get.markers(adata, "class", "T", "all", key="types")["gene"]) == {"0", "1", "2"}
    for draw in (cs.pl.tree, cs.pl.umap):
        assert draw(adata, "type", key="types").figure.axes
    pyplot.close("all")
    subject = adata_subject(AdataRecord.of(adata, "types"), None, "atlas")
    (tree,) = grown_trees(TreeRows(subject.tree, subject.facts), subject.labels)
    assert tree.name == "type"
    assert [row["cluster"] for row in tree.clusters] == ["B", "B", "plasma", "Myeloid", "T", "CD4", "CD8"]
    assert np.bincount(tree.leaves).tolist() == [0, 12, 12, 12, 1, 11, 12]  # cells that end above are there
    cs.report(adata, tmp_path / "page.html", key="types")
    assert "cellstrata-key" in (tmp_path / "page.html").read_text(encoding="utf-8")
    adata.uns["clustering"] = adata.uns.pop("types")
    adata.write_h5ad(tmp_path / "atlas.h5ad")
    place = Place(str(tmp_path / "atlas.h5ad"))
    assert [(level.column, level.origin) for level in explain(place, "CD4").levels] == [
        ("class", "input"), ("type", "input"),
    ]  # fmt: skip
    export_result(place, "newick", Place(str(tmp_path / "x.nwk")))
    assert (tmp_path / "x.nwk").read_text() == "((B:1,plasma:1)B:1,Myeloid:1,(CD4:1,CD8:1)T:1)type;\n"
    export_result(place, "cell_type_mapper", Place(str(tmp_path / "x.json")))
    taxonomy = json.loads((tmp_path / "x.json").read_text())
    assert taxonomy["class"] == {
        "B": ["B", "plasma"], "Myeloid": ["Myeloid"], "T": ["CD4", "CD8", "T (other)"],
    }  # fmt: skip
    assert taxonomy["type"]["T (other)"] == [5]
    assert sum(map(len, taxonomy["type"].values())) == 60


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["class", "mixed"], r"obs\['mixed'\]: is not nested in obs\['class'\]: 'x' is within 'T' \(8 cells\) and 'B' "
                             r"\(4 cells\).*`adata.obs\['mixed'\] = adata.obs\['mixed'\].where\("),
        (["type", "class"], "is not nested"),
        (["type", "whole"], r"'T' has 1 cell without a value in obs\['type'\]"),
        (["class", "classs"], "obs.'classs'.: is not there; did you mean `class`"),
        (["class", "class"], "is named twice"),
        (["score"], "holds numbers, not labels"),
        (["none"], "has no value for any cell"),
        (["blank"], "has a label without a letter"),
        ([], "`columns` names none"),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused_with_a_label_and_its_cells(columns: list[str], said: str) -> None:
    adata = atlas()
    obs: Any = adata.obs
    obs["mixed"] = [
        "x" if (kind == "T" and cell < 20) or (kind == "B" and cell < 9) else str(kind)
        for cell, kind in enumerate(obs["class"])
    ]
    obs["whole"] = ["T" if kind == "T" else None for kind in obs["class"]]
    obs.loc[obs["type"] == "CD8", "whole"] = None
    obs["blank"] = [" " if cell else "x" for cell in range(60)]
    obs["score"], obs["none"] = 0.5, pd.Categorical([None] * 60)
    with pytest.raises(cs.InputError, match=said):
        cs.tl.adopt(adata, columns)
    assert not adata.uns


def test_no_other_record_is_lost() -> None:
    adata = atlas()
    cs.tl.adopt(adata, "class")
    cs.tl.adopt(adata, ["class", "type"])  # an adoption replaces its own
    assert set(cs.get.tree(adata)["column"]) == {"class", "type"}
    adata.uns["clustering"] = {**adata.uns["clustering"], "command": "run"}
    with pytest.raises(cs.InputError, match=r"tells of clusters that would be lost; .*key_added='types'"):
        cs.tl.adopt(adata, "class")
    adata.uns["types"] = {"mine": 1}
    with pytest.raises(cs.InputError, match="was not made by cellstrata"):
        cs.tl.adopt(adata, "class", key_added="types")
    copied = cs.tl.adopt(adata, "class", key_added="own", copy=True)
    assert copied is not None
    assert "own" in copied.uns
    assert "own" not in adata.uns


def test_markers_of_other_labels_do_not_stay() -> None:
    adata = atlas()
    cs.tl.adopt(adata, "class")
    cs.tl.markers(adata, n_genes=2, min_cells=5)
    cs.tl.adopt(adata, "class")
    assert "clustering_markers" in adata.uns
    adata.obs["class"] = adata.obs["class"].cat.rename_categories({"T": "lymphoid"})
    cs.tl.adopt(adata, "class")
    assert "clustering_markers" not in adata.uns
