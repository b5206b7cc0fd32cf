"""Curations of a real result: what they write, and what is refused whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.configs.errors import ConfigError
from cellstrata.tasks.curation.curate import Curated, curate
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.results.explain import explain
from cellstrata.tasks.stores.data_errors import InputError, OutputError
from cellstrata.tasks.stores.places import Place
from tests.flows.planted import write
from tests.tasks.finished_results import make_result

L1, L2 = "leiden_0.1_1", "leiden_0.1_2"
GOOD = f"""
curator: Jane Doe
columns:
  {L1}:
    merge: [[0, 1]]
    clusters:
      0: {{name: T cell, ontology: "CL:0000084", color: "#112233"}}
      2: B cell
  {L2}:
    unnamed: keep
    merge: [["0_0", "0_1"], ["0_2", "1_0"]]
    clusters:
      "0_1": {{name: Naïve T, ontology: CL:0000898}}
      "1_1": {{name: "T, other"}}
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three clusters of 3, 2 and 2 each."""
    folder = tmp_path_factory.mktemp("curated")
    made = make_result(folder, write(folder), {"resolutions": [0.1], "hierarchy": 2})
    obs = open_linked(made.url).obs
    assert obs[L2].cat.categories.tolist() == ["0_0", "0_1", "0_2", "1_0", "1_1", "2_0", "2_1"]
    return made.url


def files(folder: str) -> dict[str, str]:
    """The content of every file in a folder."""
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def curated(result: str, folder: Path, text: str, output: str | None = None, **more: Any) -> Curated:
    (folder / "c.yaml").write_text(text, encoding="utf-8")
    out = None if output is None else Place(str(folder / output))
    return curate(Place(result), Place(str(folder / "c.yaml")), out, **more)


def test_names_terms_colors_and_merges_are_written_beside_the_clusters(result: str, tmp_path: Path) -> None:
    before = files(result)
    found = curated(result, tmp_path, GOOD, "atlas.zarr")
    assert [(group.clusters, group.name) for group in found.groups[L1]] == [(("0", "1"), "T cell"), (("2",), "B cell")]
    atlas, was = open_linked(str(tmp_path / "atlas.zarr")), open_linked(result)
    assert files(result) == before
    expected = was.obs[L1].map({"0": "T cell", "1": "T cell", "2": "B cell"})
    assert atlas.obs[f"{L1}_name"].astype(str).tolist() == expected.astype(str).tolist()
    assert atlas.obs[f"{L1}_name"].cat.categories.tolist() == ["T cell", "B cell"]
    terms = was.obs[L1].map({"0": "CL:0000084", "1": "CL:0000084"})
    assert atlas.obs[f"{L1}_ontology_term_id"].astype(object).where(lambda x: x.notna(), None).tolist() == [
        None if pd.isna(term) else term for term in terms
    ]
    names = ["Naïve T", "0_2 + 1_0", "T, other", "2_0", "2_1"]
    assert atlas.obs[f"{L2}_name"].cat.categories.tolist() == names
    colors = atlas.uns[f"{L1}_name_colors"].tolist()
    assert colors == ["#112233", was.uns[f"{L1}_colors"][2]]
    for column in was.obs.columns:
        assert atlas.obs[column].tolist() == was.obs[column].tolist()
    assert atlas.uns["clustering"]["tree"].equals(was.uns["clustering"]["tree"])
    (entry,) = json.loads(atlas.uns["clustering"]["curation"])
    assert (entry["curator"], entry["result"]) == ("Jane Doe", result)
    assert entry["sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()
    assert entry["publish_key"] == was.uns["clustering"]["publish_key"]
    group = entry["groups"][L1][0]
    assert (group["clusters"], group["name"], group["n_cells"]) == (
        ["0", "1"],
        "T cell",
        int((expected == "T cell").sum()),
    )

    # It is a result like any other, and can be curated again.
    assert explain(Place(str(tmp_path / "atlas.zarr")), "0_1", column=L2).n_cells == (was.obs[L2] == "0_1").sum()
    materialize(tmp_path / "atlas.zarr", tmp_path / "whole.zarr")
    again = curated(str(tmp_path / "whole.zarr"), tmp_path, GOOD.replace("B cell", "B"), "atlas.h5ad")
    assert again.output == str(tmp_path / "atlas.h5ad")
    h5ad = ad.read_h5ad(tmp_path / "atlas.h5ad")
    assert h5ad.obs[f"{L1}_name"].cat.categories.tolist() == ["T cell", "B"]
    assert len(json.loads(h5ad.uns["clustering"]["curation"])) == 2
    assert list(h5ad.obs.columns) == list(atlas.obs.columns)


def test_a_table_has_the_new_columns_alone(result: str, tmp_path: Path) -> None:
    curated(result, tmp_path, GOOD, "names.parquet")
    table = pd.read_parquet(tmp_path / "names.parquet")
    assert table.columns.tolist() == [f"{L1}_name", f"{L1}_ontology_term_id", f"{L2}_name", f"{L2}_ontology_term_id"]
    assert table.index.tolist() == [f"c{i}" for i in range(len(table))]
    assert curated(result, tmp_path, GOOD).output is None


def column(body: str, name: str = L1) -> str:
    return f"curator: J\ncolumns:\n  {name}:\n    unnamed: keep\n    {body}\n"


MALFORMED = {
    "no YAML": ("curator: [a", "line 1: a list opened with `[` lacks a `,` or its `]`"),
    "empty": ("", "is empty; begin with `curator:` and `columns:`"),
    "nobody": (f"columns: {{{L1}: {{unnamed: keep}}}}", "curator: is missing; name who answers for it"),
    "a key": ("curators: J\ncurator: J\ncolumns: {}",
              "curators (line 1): is no key of a curation; did you mean `curator`?"),
    "a column": (column("clusters: {0: T}", "leiden_0.1_4"), "is no column of"),
    "of the input": (column("clusters: {0: T}", "cloud"), "columns.cloud (line 3): came with the input"),
    "an id": (column('clusters: {"0_7": T}', L2), "has no cluster '0_7'; there is 0_0, 0_1, 0_2"),
    "no id": (column("clusters: {x: T}"), "`'x'` is no id of a cluster; ids are written like"),
    "twice": (column("clusters: {0: T, 0: B}"), "the key `0` is given twice"),
    "a number": (column("clusters: {0: 5}"), "clusters.0 (line 5): must be a text, not `5`; put it in quotes"),
    "a term": (column('clusters: {0: {name: T, ontology: "CL:84"}}'), "ontology (line 5): must be a term of the cell "
               "ontology, not `'CL:84'`; did you mean `CL:0000084`?"),
    "a color": (column("clusters: {0: {name: T, color: red}}"), "must be a color such as #1f77b4, not `'red'`"),
    "no name": (column('clusters: {0: {color: "#112233"}}'), "name (line 5): is missing"),
    "same names": (column("clusters: {0: T, 1: T}"), '0 and 1 are both called \'T\'; write `merge: [["0", "1"]]`'),
    "name of another": (column('clusters: {0: "1"}'), "1 and 0 are both called '1'"),
    "merge of one": (column("merge: [[0]]"), "merge[0] (line 5): must be a list of two ids or more"),
    "merged twice": (column("merge: [[0, 1], [1, 2]]"), "1 is in a merge already; name each cluster once"),
    "merge of others": (column("merge: [[0, 9]]"), "has no cluster '9'; there is 0, 1, 2"),
    "merged and at odds": (column("merge: [[0, 1]]\n    clusters: {0: T, 1: B}"), "different values of name, T, B"),
    "other parents": (column('merge: [["0_0", "1_0"]]', L2),
                      "have different parents, 0, 1; merge these in leiden_0.1_1 too"),
    "not all": (column("clusters: {0: T}").replace("keep", "refuse"),
                "2 of 3 clusters have no name: 1, 2; name them, or"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_curations_are_refused_whole(case: str, result: str, tmp_path: Path) -> None:
    text, said = MALFORMED[case]
    before = files(result)
    with pytest.raises(ConfigError) as error:
        curated(result, tmp_path, text, "out.zarr")
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'c.yaml'}: 1 problem\n")
    assert files(result) == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_all_that_is_wrong_is_told_at_once(result: str, tmp_path: Path) -> None:
    text = column('clusters: {0: T, 1: T, 8: B}\n    merge: [[2, "9"]]')
    with pytest.raises(ConfigError) as error:
        curated(result, tmp_path, text)
    assert len(error.value.problems) == 3


def test_outputs_that_are_in_the_way_stay(result: str, tmp_path: Path) -> None:
    curated(result, tmp_path, GOOD, "atlas.zarr")
    (tmp_path / "there.h5ad").write_text("mine")
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "a").write_text("mine")
    before = files(str(tmp_path))
    for output, said in (
        ("atlas.zarr", "exists; choose another name, or replace it with --overwrite"),
        ("mine.zarr", "was not made by cellstrata and is left alone"),
        ("there.h5ad", "exists"),
        ("atlas.loom", "must end in .zarr or .h5ad or .parquet"),
        (f"{result}/in.zarr", "is what is read, lies in it or holds it"),
    ):
        with pytest.raises(OutputError, match=said):
            curated(result, tmp_path, GOOD, output)
    assert files(str(tmp_path)) == before
    curated(result, tmp_path, GOOD, "atlas.zarr", overwrite=True)
    with pytest.raises(InputError, match="there is no such file"):
        curate(Place(result), Place(str(tmp_path / "none.yaml")))


def test_a_column_that_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    source = write(tmp_path, change=lambda adata: adata.obs.insert(0, f"{L1}_name", np.arange(adata.n_obs)))
    made = make_result(tmp_path, source, {"resolutions": [0.1]})
    with pytest.raises(ConfigError, match=rf"obs\['{L1}_name'\] is there already, and no curation made it"):
        curated(made.url, tmp_path, column("clusters: {0: T}"))
