"""Markers of a result: its columns, the table beside it, and what is said where something is wrong."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.results.marker_genes import MarkerRequest, Markers, table_url, write_markers
from cellstrata.tasks.results.record import NoResult
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests import ROOT
from tests.tasks.everything import save
from tests.tasks.small_expression import atlas, counts, labelled, logs, tree

COUNTS, CODES = counts(400, 50, 5)
LEAVES = np.array(["0_0", "0_1", "1_0", "10_0", "10_1"])
NAMES = {"leiden_0.5_1": {"0": "", "1": "", "10": ""}, "leiden_0.5_2": {leaf: leaf[:-2] for leaf in LEAVES.tolist()}}


def result(x: Any = None, **more: Any) -> ad.AnnData:
    """A result of two levels with counts as X, and raw and a layer of logarithms."""
    x = sp.csr_matrix(COUNTS) if x is None else x
    obs = labelled("leiden_0.5_2", LEAVES[CODES].tolist())
    obs |= labelled("leiden_0.5_1", [leaf[:-2] for leaf in LEAVES[CODES]])
    made = atlas(x, obs, uns={"clustering": tree(NAMES)}, layers={"logs": sp.csr_matrix(logs(COUNTS))}, **more)
    made.raw = atlas(sp.csr_matrix(logs(COUNTS)))
    return made


@pytest.fixture
def path(tmp_path: Path) -> str:
    return save(result(), tmp_path, "zarr3", "file_id~f")


def markers(path: str, **asked: Any) -> Markers:
    return write_markers(Place(path), MarkerRequest(**asked))


def test_the_table_is_beside_the_result(path: str, tmp_path: Path) -> None:
    found = markers(path, normalize=True, n_genes=7)
    assert found.table == str(tmp_path / "file_id~f" / "markers.parquet") == table_url(path)
    table = pq.read_table(found.table)
    assert table.column_names == [
        "column", "cluster", "parent", "against", "gene", "rank", "score", "log_fold_change", "p", "p_adjusted",
        "share_in", "share_out", "auroc",
    ]  # fmt: skip
    frame = table.to_pandas()
    assert len(frame) == 7 * (3 * 2 + 5 + 4)
    assert set(frame["column"]) == set(NAMES)
    assert set(frame[frame["against"] == "sisters"]["cluster"]) == {*LEAVES, "0", "1", "10"} - {"1_0"}
    assert frame["auroc"].isna().all()
    one = frame[(frame["column"] == "leiden_0.5_2") & (frame["cluster"] == "10_1") & (frame["against"] == "sisters")]
    assert one["rank"].tolist() == list(range(1, 8))
    assert one["parent"].unique().tolist() == ["10"]
    assert one["score"].is_monotonic_decreasing
    assert one["gene"].str.match(r"g\d+$").all()
    assert one["share_in"].between(0, 1).all()
    how = json.loads(pq.read_schema(found.table).metadata[b"markers"])
    assert (how["made_by"], how["method"], how["normalize"], how["n_genes"]) == ("cellstrata", "t-test", True, 7)
    assert found.notices == ("leiden_0.5_2: 1_0 has no sisters to be compared with",)
    assert (found.matrix, found.holds.partition(" from ")[0]) == ("X", "whole numbers")


def test_the_page_on_the_format_has_its_columns(path: str) -> None:
    schema = pq.read_schema(markers(path, normalize=True).table)
    names = {"dictionary<values=string, indices=int32, ordered=0>": "dictionary of string, int32 indices"}
    page = (ROOT / "docs" / "result-format.md").read_text().partition("<!-- markers -->\n")[2].partition("<!-- /")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines()[2:]]
    assert {row[0].strip("`"): row[1] for row in rows} == {f.name: names.get(str(f.type), str(f.type)) for f in schema}


def test_x_a_layer_and_raw_agree(path: str) -> None:
    tables = []
    for asked in ({"normalize": True}, {"layer": "logs"}, {"raw": True}):
        tables.append(pq.read_table(markers(path, method="wilcoxon", **asked).table).to_pandas())
    for other in tables[1:]:
        assert other.equals(tables[0])
    assert tables[0]["auroc"].between(0, 1).all()


def test_chosen_columns_and_one_kind(path: str) -> None:
    found = markers(path, normalize=True, columns=("leiden_0.5_2",), against=("all",), min_cells=80)
    assert {(one.column, one.against) for one in found.found} == {("leiden_0.5_2", "all")}
    sizes = {leaf: int((LEAVES[CODES] == leaf).sum()) for leaf in LEAVES}
    assert {one.cluster for one in found.found} == {leaf for leaf, n in sizes.items() if n >= 80}
    assert "fewer than 80 cells, so no markers" in found.notices[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, r"X: holds whole numbers from 0 to .*, which are counts; ask for `normalize`.*there is layers.*, raw\)"),
        ({"layer": "logs", "normalize": True}, r"layers\['logs'\]: holds .* logarithms already"),
        ({"layer": "count"}, r"layers\['count'\]: is not in the file; there is X, layers\['logs'\], raw"),
        ({"normalize": True, "columns": ("leiden_0.5_3",)}, "there is no such column; did you mean `leiden_0.5_"),
        ({"normalize": True, "columns": ("donor",)}, "'donor'.*came with the input"),
        ({"normalize": True, "min_cells": 1000}, "nothing can be compared; leiden_0.5_1: 0, 1, 10 have fewer"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(tmp_path: Path, asked: dict[str, Any], said: str) -> None:
    made = result()
    made.obs["donor"] = "a"
    path = save(made, tmp_path, "zarr3", "r")
    with pytest.raises(InputError, match=said) as caught:
        markers(path, **asked)
    assert str(caught.value).startswith(path)
    assert not Path(table_url(path)).exists()


def test_scaled_values_and_none(tmp_path: Path) -> None:
    scaled = save(result(logs(COUNTS) - 1), tmp_path, "h5ad", "scaled")
    with pytest.raises(InputError, match=r"X: holds .* scaled or centered; name a matrix of logarithms"):
        markers(scaled)
    assert markers(scaled, raw=True).table == str(tmp_path / "scaled" / "markers.parquet")
    made = result()
    del made.layers["logs"], made.raw
    made.X = None
    with pytest.raises(InputError, match="X: is not in the file; it has no other expression values"):
        markers(save(made, tmp_path, "h5ad", "none"))


def test_genes_of_one_name_and_genes_without_values(tmp_path: Path) -> None:
    values = COUNTS.copy()
    values[:, 3:5] = 0
    made = result(sp.csr_matrix(values))
    made.var_names = ["same", "same", *made.var_names[2:]]
    found = markers(save(made, tmp_path, "h5ad"), normalize=True, n_genes=100)
    assert found.notices[-1] == "the name same stands for several genes each: each gene has rows of its own"
    table = pq.read_table(found.table).to_pandas()
    none = table[table["gene"] == "g3"]
    assert (none["score"].eq(0).all(), none["p_adjusted"].eq(1).all(), none["log_fold_change"].eq(0).all()) == (
        True,
    ) * 3


def test_what_is_no_result_or_has_no_place(path: str, tmp_path: Path) -> None:
    with pytest.raises(NoResult):
        markers(save(atlas(COUNTS), tmp_path, "h5ad", "input"))
    with pytest.raises(InputError, match=r"there is nothing|does not exist|no such"):
        markers(str(tmp_path / "nothing.zarr"))
    Path(path.removesuffix(".zarr")).write_text("a file stands where the folder would")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        markers(path, normalize=True)


def test_a_second_table_replaces_the_first(path: str) -> None:
    first = markers(path, normalize=True, n_genes=5).table
    assert pq.read_table(markers(path, normalize=True, n_genes=2).table).num_rows < pq.read_table(first).num_rows + 1
    assert [file.name for file in Path(first).parent.iterdir()] == ["markers.parquet"]


def test_a_result_in_a_bucket(path: str) -> None:
    local, bucket = Path(path), "memory://markers/atlas.zarr"
    store = Store.at(bucket)
    for file in local.rglob("*"):
        if file.is_file():
            store.write(str(file.relative_to(local)), file.read_bytes())
    found = markers(bucket, normalize=True)
    assert found.table == "memory://markers/atlas/markers.parquet"
    own = pq.read_table(markers(path, normalize=True).table)
    data = Store.at("memory://markers/atlas").read("markers.parquet")
    assert pq.read_table(io.BytesIO(data)).equals(own)


def test_a_link_that_leads_nowhere_is_said(path: str, tmp_path: Path) -> None:
    shutil.move(f"{path}/X", tmp_path / "x")
    Path(f"{path}/X").symlink_to(tmp_path / "x")
    assert markers(path, normalize=True).matrix == "X"
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(InputError, match=r"links to .*, which has gone"):
        markers(path, normalize=True)
