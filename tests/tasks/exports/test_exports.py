"""Exports of a real result, with and without names, read back by the other side's own reader where that is light."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from anndata.io import write_elem

from cellstrata.tasks.curation.curate import curate
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.exports.cap import additions
from cellstrata.tasks.exports.export import Export, export_result
from cellstrata.tasks.exports.formats import FORMATS
from cellstrata.tasks.exports.levels import Level, exported, one_tree
from cellstrata.tasks.exports.newick import newick, quoted
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.results.record import read_result
from cellstrata.tasks.stores.data_errors import InputError, OutputError
from cellstrata.tasks.stores.places import Place
from tests.flows.planted import write
from tests.tasks.finished_results import make_result

L1, L2 = "leiden_0.1_1", "leiden_0.1_2"
CURATION = f"""
curator: Jane Doe
columns:
  {L1}:
    merge: [[0, 1]]
    clusters: {{0: {{name: T cell, ontology: "CL:0000084", color: "#112233"}}, 2: "B cell, naïve"}}
  {L2}:
    unnamed: keep
    merge: [["0_2", "1_0"]]
    clusters: {{"0_1": {{name: Treg, ontology: "CL:0000815"}}}}
"""
NAMES = ["0_0", "Treg", "0_2 + 1_0", "1_1", "2_0", "2_1"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three clusters of 3, 2 and 2 each, an ensemble."""
    folder = tmp_path_factory.mktemp("exported")
    return make_result(
        folder, write(folder), {"resolutions": [0.1], "hierarchy": 2, "ensemble": 2, "engine": "igraph"}
    ).url


@pytest.fixture(scope="module")
def named(result: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("named")
    (folder / "c.yaml").write_text(CURATION, encoding="utf-8")
    output = str(folder / "named.zarr")
    curate(Place(result), Place(str(folder / "c.yaml")), Place(output))
    return output


def export(result: str, to: str, output: Path, *columns: str, ids: bool = False) -> Export:
    return export_result(Place(result), to, Place(str(output)), columns=columns, ids=ids)


def files(folder: str) -> dict[str, str]:
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_an_h5ad_has_all_and_what_viewers_ask_of_columns(named: str, tmp_path: Path) -> None:
    before = files(named)
    found = export(named, "h5ad", tmp_path / "x.h5ad")
    assert files(named) == before
    assert list(tmp_path.iterdir()) == [tmp_path / "x.h5ad"]
    made, was = ad.read_h5ad(tmp_path / "x.h5ad"), open_linked(named)
    assert found.n_cells == made.n_obs
    np.testing.assert_array_equal(made.obsm["X_pca"], was.obsm["X_pca"])
    assert "clustering_stability" not in made.obsm  # viewers would take it for an embedding
    np.testing.assert_array_equal(made.obs[[f"{L1}_stability", f"{L2}_stability"]], was.obsm["clustering_stability"])
    for name in (L1, L2, f"{L1}_name", f"{L2}_name"):
        values = made.obs[name]
        assert values.dtype.name == "category"
        assert values.cat.categories.tolist() == was.obs[name].cat.categories.tolist()
        assert values.astype(str).tolist() == was.obs[name].astype(str).tolist()
        assert set(values.cat.categories) == set(values.dropna())
        colors = made.uns[f"{name}_colors"]
        assert len(colors) == len(values.cat.categories)
        assert all(len(color) == 7 and color.startswith("#") for color in colors)
    assert made.uns[f"{L1}_name_colors"][0] == "#112233"
    assert not [name for name in made.uns if name.endswith("_colors") and name.removesuffix("_colors") not in made.obs]
    assert not [name for name in made.obs if name.startswith("__")]
    assert not [name for name, value in made.uns.items() if hasattr(value, "__len__") and not len(value)]


def test_a_column_alone_has_the_order_of_its_tree_and_no_category_without_a_cell(result: str, tmp_path: Path) -> None:
    materialize(result, tmp_path / "r.h5ad")
    with h5py.File(tmp_path / "r.h5ad", "r+") as file:
        obs: Any = file["obs"]
        values = ad.io.read_elem(obs[L2])
        values = values.add_categories(["9_9"]).reorder_categories(["9_9", *reversed(values.categories)])
        del obs[L2], file[f"uns/{L2}_colors"]
        write_elem(obs, L2, values)
        write_elem(obs, f"cluster_{L2}", np.arange(len(values)))
        obs.attrs["column-order"] = [*obs.attrs["column-order"], f"cluster_{L2}"]
    found = export(str(tmp_path / "r.h5ad"), "h5ad", tmp_path / "x.h5ad", L2)  # an h5ad is a result too
    made = ad.read_h5ad(tmp_path / "x.h5ad")
    assert [name for name in made.obs if "leiden" in name] == [L2, f"cluster_{L2}", f"{L2}_stability"]
    assert not [name for name in made.uns if name.startswith(L1)]
    assert "cloud" in made.obs
    assert L1 not in found.what
    with pytest.raises(InputError, match=f"obs.'cluster_{L2}'.: is there already"):
        export(str(tmp_path / "r.h5ad"), "cap", tmp_path / "cap.h5ad")
    assert not (tmp_path / "cap.h5ad").exists()
    assert made.obs[L2].cat.categories.tolist() == ["0_0", "0_1", "0_2", "1_0", "1_1", "2_0", "2_1"]
    assert list(made.uns[f"{L2}_colors"]) == list(open_linked(result).uns[f"{L2}_colors"])


@pytest.mark.parametrize(("to", "between"), [("csv", ","), ("tsv", "\t")])
def test_tables_of_text_keep_labels_as_text(named: str, tmp_path: Path, to: str, between: str) -> None:
    export(named, to, tmp_path / f"x.{to}")
    table = pd.read_csv(tmp_path / f"x.{to}", sep=between, dtype=str, index_col="obs_name")
    was = open_linked(named).obs
    assert list(table) == [L1, f"{L1}_name", f"{L1}_ontology_term_id", L2, f"{L2}_name", f"{L2}_ontology_term_id"]
    assert table.index.tolist() == was.index.tolist()
    for name in table:
        assert table[name].fillna("").tolist() == was[name].astype(object).fillna("").tolist()


def test_a_parquet_has_factors_in_cluster_order(named: str, tmp_path: Path) -> None:
    export(named, "parquet", tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    for name, levels in ((L2, ["0_0", "0_1", "0_2", "1_0", "1_1", "2_0", "2_1"]), (f"{L2}_name", NAMES)):
        assert str(table.schema.field(name).type) == "dictionary<values=string, indices=int32, ordered=0>"
        assert table[name].combine_chunks().dictionary.to_pylist() == levels
    assert table["obs_name"].to_pylist() == open_linked(named).obs_names.tolist()


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (True, "((0_0:1,0_1:1,0_2:1)0:1,(1_0:1,1_1:1)1:1,(2_0:1,2_1:1)2:1)leiden_0.1;\n"),
        (False, "((0_0:1,Treg:1,'0_2 + 1_0':1,1_1:1)'T cell':1,(2_0:1,2_1:1)'B cell, naïve':1)leiden_0.1;\n"),
    ],
)
def test_a_newick_tree_has_clusters_or_names(named: str, tmp_path: Path, ids: bool, text: str) -> None:
    export(named, "newick", tmp_path / "x.nwk", ids=ids)
    assert (tmp_path / "x.nwk").read_text(encoding="utf-8") == text


def test_newick_quotes_what_it_must() -> None:
    assert [quoted(label) for label in ("1_0", "CD4+", "it's", "a\nb", "", "(x)")] == [
        "1_0", "CD4+", "'it''s'", "'a b'", "''", "'(x)'",
    ]  # fmt: skip


def test_only_children_are_one_with_their_parent_and_families_stand_together() -> None:
    def level(name: str, labels: str, *parents: int) -> Level:
        none = np.empty(0, np.int32)
        return Level(name, name, none, tuple(labels.split()), ("",) * len(parents), np.array(parents, np.int32))

    levels = [level("a", "0 1 2", -1, -1, -1), level("b", "00 10 11", 0, 1, 1), level("c", "000 001 100", 0, 0, 1)]
    assert newick(levels, "t") == "((000:1,001:1)00:2,(100:2,11:1)1:1,2:1)t;"


@pytest.mark.parametrize("ids", [True, False])
def test_a_taxonomy_is_a_strict_tree_of_all_cells(named: str, tmp_path: Path, ids: bool) -> None:
    """What `validate_taxonomy_tree` of cell_type_mapper asks for, and that no node is empty."""
    export(named, "cell_type_mapper", tmp_path / "x.json", ids=ids)
    tree = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    ends = "" if ids else "_name"
    assert tree["hierarchy"] == [f"{L1}{ends}", f"{L2}{ends}"]
    assert set(tree) == {"metadata", "hierarchy", *tree["hierarchy"], *(["name_mapper"] if ids else [])}
    upper, lower = (tree[level] for level in tree["hierarchy"])
    assert sorted(child for children in upper.values() for child in children) == sorted(lower)
    assert all(upper.values())
    assert all(lower.values())
    obs = open_linked(named).obs
    assert sorted(row for rows in lower.values() for row in rows) == list(range(len(obs)))
    for label, rows in lower.items():
        assert set(obs[f"{L2}{ends}"].iloc[rows]) == {label}
    if ids:
        assert tree["name_mapper"][L1]["1"] == {"name": "T cell"}
        assert upper["0"] == ["0_0", "0_1", "0_2"]
    else:
        assert upper["T cell"] == NAMES[:4]


def test_treedata_reads_its_trees(named: str, tmp_path: Path) -> None:
    treedata = pytest.importorskip("treedata", reason="treedata is not installed: pip install 'cellstrata[treedata]'")
    export(named, "treedata", tmp_path / "x.h5td")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.h5td"]
    made = treedata.read_h5td(tmp_path / "x.h5td")
    tree = made.obst["leiden_0.1"]
    assert tree.nodes[f"{L1}_name/T cell"]["color"] == "#112233"
    assert [tree.nodes[node]["cluster"] for node in tree.successors(f"{L1}_name/T cell")] == NAMES[:4]
    for name in NAMES:
        cells = made.obs_names[made.obs[f"{L2}_name"] == name]
        assert set(tree.successors(f"{L2}_name/{name}")) == set(cells)
    part = made[made.obs[f"{L2}_name"] == "Treg"].copy()
    assert f"{L2}_name/1_1" not in part.obst["leiden_0.1"]
    np.testing.assert_array_equal(made.obsm["X_pca"], open_linked(named).obsm["X_pca"])


def test_a_package_that_is_missing_is_named(result: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "treedata", None)
    with pytest.raises(OutputError, match=r"--to treedata: needs treedata, .*: pip install 'cellstrata\[treedata\]'"):
        export(result, "treedata", tmp_path / "x.h5td")
    assert not list(tmp_path.iterdir())


def test_cap_has_sets_with_ranks_and_what_is_known_of_each(named: str, tmp_path: Path) -> None:
    export(named, "cap", tmp_path / "x.h5ad")
    made = ad.read_h5ad(tmp_path / "x.h5ad")
    cap, first, second = made.uns["cap_metadata"], f"{L1}_name", f"{L2}_name"
    assert cap["cellannotation_schema_version"] == "2.0.0"
    assert cap["hierarchy"] == {first: 0, second: 1}
    of = cap["cellannotation_metadata"][second]
    assert set(cap["cellannotation_metadata"]) == {first, second}
    assert (of["annotation_method"], of["algorithm_name"]) == ("both", "leiden")
    assert of["algorithm_version"].startswith("igraph")
    assert of["algorithm_repo_url"].startswith("https://")
    assert "named by Jane Doe" in of["description"]
    cell = made.obs[made.obs[L2] == "0_1"].iloc[0]
    assert cell[[first, second]].tolist() == ["T cell", "Treg"]
    assert cell[f"{second}--cell_fullname"] == "Treg"
    assert cell[f"{second}--cell_ontology_term_id"] == "CL:0000815"
    assert cell[f"{second}--category_fullname"] == "T cell"
    assert cell[f"{second}--category_cell_ontology_term_id"] == "CL:0000084"
    assert cell[f"{second}--rationale"] == f"Cluster 0_1 of {L2}, named by Jane Doe."
    assert made.obs[f"{second}--cell_ontology_exists"].dtype == bool
    assert made.obs[f"{second}--cell_ontology_exists"].sum() == (made.obs[L2] == "0_1").sum()
    assert made.obs[f"{second}--marker_gene_evidence"].isna().all()
    assert made.obs[f"cluster_{L2}"].tolist() == made.obs[L2].tolist()


def test_cap_keeps_what_an_input_of_the_platform_has(result: str) -> None:
    own = {"cellannotation_metadata": {"old": {"description": "x"}}, "hierarchy": {"old": 0}, "authors_list": "A"}
    found = exported(read_result(Place(result)))
    cap = additions(found, one_tree(found, "cap"), own).uns["cap_metadata"]
    assert cap["authors_list"] == "A"
    assert set(cap["cellannotation_metadata"]) == {"old", L1, L2}
    assert cap["cellannotation_metadata"][L1]["annotation_method"] == "algorithmic"
    assert cap["hierarchy"] == {"old": 0}


def test_several_trees_are_lines_of_newick_and_too_many_for_others(tmp_path: Path) -> None:
    made = make_result(tmp_path, write(tmp_path), {"resolutions": [0.1, 0.3], "hierarchy": 1})
    export(made.url, "newick", tmp_path / "x.nwk")
    assert [line.rpartition(")")[2] for line in (tmp_path / "x.nwk").read_text().splitlines()] == [
        "leiden_0.1;", "leiden_0.3;",
    ]  # fmt: skip
    for to, name in (("cell_type_mapper", "x.json"), ("cap", "x.h5ad")):
        with pytest.raises(InputError, match=r"has 2 trees, and a file of .* holds one; .*`--columns leiden_0.1_1`"):
            export(made.url, to, tmp_path / name)
        assert not (tmp_path / name).exists()
    export(made.url, "cell_type_mapper", tmp_path / "x.json", "leiden_0.3_1")
    assert json.loads((tmp_path / "x.json").read_text())["hierarchy"] == ["leiden_0.3_1"]


@pytest.mark.parametrize("to", list(FORMATS))
def test_nothing_that_is_there_is_touched(result: str, tmp_path: Path, to: str) -> None:
    there = tmp_path / f"x{FORMATS[to].endings[0]}"
    there.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"x.*: exists; choose another name$"):
        export(result, to, there)
    assert there.read_bytes() == b"mine"
    with pytest.raises(OutputError, match="must end in"):
        export(result, to, tmp_path / "x.doc")
    assert list(tmp_path.iterdir()) == [there]


def test_what_is_wrong_is_said(named: str, tmp_path: Path) -> None:
    for to, columns, said in (
        ("newik", (), "--to: 'newik' is no format; did you mean `newick`"),
        ("newick", ("leiden_0.1_3",), "obs.'leiden_0.1_3'.: is no column of clusters; did you mean"),
        ("csv", (f"{L1}_name",), f"its names come with the column of clusters, {L1}"),
        ("csv", ("cloud",), f"obs.'cloud'.: is no column of clusters; there is {L1}, {L2}"),
    ):
        with pytest.raises((InputError, OutputError), match=said):
            export(named, to, tmp_path / f"x.{'csv' if to == 'csv' else 'nwk'}", *columns)
    foreign = write(tmp_path)
    with pytest.raises(InputError, match="is no result of cellstrata"):
        export(foreign, "csv", tmp_path / "x.csv")
    materialize(named, tmp_path / "r.h5ad")
    with h5py.File(tmp_path / "r.h5ad", "r+") as file:
        file["obs"].attrs["column-order"] = ["cloud"]
    with pytest.raises(InputError, match="has no column of clusters of cellstrata any more"):
        export(str(tmp_path / "r.h5ad"), "csv", tmp_path / "x.csv")
    assert not list(tmp_path.glob("x.*"))
