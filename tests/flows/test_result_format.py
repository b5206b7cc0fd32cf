"""docs/result-format.md lists what a real result holds: nothing more, nothing less, with the types that are there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from cellstrata.tasks.elements.linked_anndata import linked_store
from tests import ROOT
from tests.flows.conftest import Run

PAGE = (ROOT / "docs" / "result-format.md").read_text()
pytestmark = pytest.mark.prefect


def documented(table: str, whole: bool = False) -> dict[str, str]:
    """The names in a table of the page, with what it says of each in its second column, or in all."""
    _, found, rest = PAGE.partition(f"<!-- {table} -->\n")
    assert found, f"the page has no table {table}"
    rows = rest.partition("<!-- /")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0].strip("`"): " ".join(row[1:]) if whole else row[1] for row in cells}


def json_type(value: object) -> str:
    names: dict[type, str] = {bool: "true/false", int: "whole number", float: "number", str: "text", list: "list"}
    return "null" if value is None else names.get(type(value), "mapping")


def check(table: str, found: Mapping[str, Any]) -> None:
    """Compare a mapping with a table of its keys and types."""
    said = documented(table)
    assert {*found} == {*said}
    for key, value in found.items():
        assert json_type(value) in said[key].split(" or "), f"{key} is {json_type(value)}"


@pytest.fixture(scope="module")
def data(pbmc: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 700 cells without PCA, UMAP, graph, and everything that was derived from these."""
    adata = anndata.read_h5ad(pbmc)
    path = tmp_path_factory.mktemp("bare") / "bare.h5ad"
    logs = {"logs": adata.raw.X}
    anndata.AnnData(adata.X, obs=adata.obs[["bulk_labels"]], var=adata.var[[]], layers=logs).write_h5ad(path)
    return path


@pytest.fixture
def folder(run: Run, data: Path, tmp_path: Path) -> Path:
    """Where a run has written all that it can: the result, a result that refers, figures, report, cache."""
    clustering = {"algorithm": "leiden", "resolutions": [0.5, 1.0], "hierarchy": 2, "recompute_umap": True}
    clustering |= {"umap_colors": ["bulk_labels", "CD8A"], "neighbors": {"use_rep": "X_pca"}}
    clustering |= {"ensemble": 2, "stability": "obs", "evidence": True, "batch_keys": ["bulk_labels"]}
    clustering |= {"markers": {"layer": "logs", "method": "wilcoxon"}}
    datasets = {"d": {"input": {"clustering": {"f": str(data)}}, "clustering": clustering}}
    places = {"cache": str(tmp_path / "cache"), "images": str(tmp_path / "images"), "DATASETS": datasets, "grain": 100}
    run(output_dir=str(tmp_path / "referring"), figures=False, report=False, link="reference", **places)
    datasets["d"]["clustering"] = clustering | {"match": str(tmp_path / "referring")}
    run(output_dir=str(tmp_path / "out"), figures=True, report=True, link="copy", **places)
    datasets["d"]["clustering"] = clustering | {
        "embedding": {"method": "pca", "layer": "logs"}, "publish_embeddings": True, "stop": {"min_markers": 1},
    }  # fmt: skip
    run(output_dir=str(tmp_path / "own embeddings"), figures=False, report=False, **places)
    return tmp_path


def stored_type(element: Any) -> str:
    """The type of an element of a zarr, by its encoding alone."""
    kind = str(element.attrs["encoding-type"])
    if kind == "categorical":
        return f"categorical of {'strings' if 'string' in element['categories'].attrs['encoding-type'] else '?'}"
    if kind in ("csr_matrix", "csc_matrix"):
        return f"{kind} of {element['data'].dtype}"
    return f"{kind} of {element.dtype}" if kind in ("array", "numeric-scalar") else kind


def elements(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """An element and all that are in it, down to what AnnData reads as one."""
    element = group[path]
    yield path, element
    if element.attrs["encoding-type"] == "dict":
        for name in element:
            yield from elements(group, f"{path}/{name}")


def test_the_page_lists_what_a_run_writes(folder: Path) -> None:
    result = folder / "out" / "clustering" / "dataset~d" / "file_id~f.zarr"
    root: Any = zarr.open_group(str(result), mode="r")
    record = root["uns/clustering"]
    columns = json.loads(record["columns"][()])
    assert list(columns) == ["leiden_0.5_1", "leiden_0.5_2", "leiden_1.0_1", "leiden_1.0_2"]

    check("attribute", record.attrs["cellstrata"])
    written = [f"{slot}/{name}" for slot, names in record.attrs["cellstrata"]["written"].items() for name in names]
    found = {name: stored_type(element) for path in written for name, element in elements(root, path)}
    for column in columns:
        found = {name.replace(column, "<column>"): kind for name, kind in found.items()}
    assert found == documented("elements")
    of_input = {f"obs/{root['obs'].attrs['_index']}", "obs/bulk_labels"}
    of_obs = {f"obs/{name}" for name in root["obs"]} | {f"uns/{name}" for name in root["uns"]}
    assert of_obs - of_input <= set(written), "there is more than the result says that was written"

    tree = record["tree"]
    kinds = {name: tree[name].attrs["encoding-type"] for name in tree.attrs["column-order"]}
    plain = {name: str(tree[name].dtype) if kind == "array" else kind for name, kind in kinds.items()}
    assert plain == documented("tree") | documented("ids")
    check("matched", json.loads(record["match"][()]))
    for facts in columns.values():
        check("columns", facts)
    check("input", json.loads(record["input"][()]))
    (advice,) = json.loads(record["advice"][()])
    check("advice", advice)
    assert len(advice["resolutions"]) == 2
    for of_one in advice["resolutions"]:
        check("resolutions", of_one)

    schema = pq.read_schema(result.with_suffix("") / "labels.parquet")
    names = {field.name: field.type for field in schema}
    dictionary = pa.dictionary(pa.int32(), pa.string())
    assert names == {**dict.fromkeys(columns, dictionary), "obs_name": pa.string()}
    said = {"<column>": "dictionary of string, int32 indices", "obs_name": "string"}
    assert documented("labels") == said
    assert set(schema.metadata) == {b"pandas", b"publish_key"}

    check(
        "figures",
        json.loads((folder / "images" / "clustering" / "dataset~d" / "file_id~f" / "figures.json").read_text()),
    )
    for page in ("clustering/dataset~d/file_id~f/report.html", "index.html"):
        assert '<meta name="cellstrata-key" content="' in (folder / "images" / page).read_text()
    for name in ("input_files.tsv", "output_files.tsv"):
        (head,) = [line for line in PAGE.splitlines() if name in line]
        for column in (folder / "out" / "clustering" / name).read_text().splitlines()[0].split("\t"):
            assert f"`{column}`" in head

    referring = folder / "referring" / "clustering" / "dataset~d" / "file_id~f.zarr"
    document = json.loads((referring / "references.json").read_text())
    assert {*document} == {"version", "templates", "refs", "cellstrata"}
    check("references", document["cellstrata"])
    same: Any = zarr.open_group(linked_store(str(referring)), mode="r")
    assert set(same["uns/clustering"]) == set(record) - {"match"}
    assert set(same["uns/clustering/tree"].attrs["column-order"]) == set(documented("tree"))

    place = (
        folder / "own embeddings" / "clustering" / "dataset~d" / "file_id~f" / "embeddings.zarr" / "leiden_0.5_1" / "0"
    )
    embedding: Any = zarr.open_group(str(place), mode="r")
    stored = {name: stored_type(embedding[name]) for name in documented("embeddings")}
    assert stored == documented("embeddings")
    assert {*embedding} == {name.partition("/")[0] for name in stored}
    assert all(
        f"`{name}`" in documented("embeddings", whole=True)["uns/embedding"] for name in embedding["uns/embedding"]
    )

    _check_cache(folder / "cache" / "v1")


def _check_cache(cache: Path) -> None:
    """The files of a cache, the entries of each kind, and the body of a split."""
    there = {path.name for path in cache.iterdir()}
    assert there == {name for name in ("arrays", "records", "leases", "claims", "datasets") if f"`v1/{name}/" in PAGE}
    kinds = documented("kinds", whole=True)
    seen = set()
    for path in (cache / "records").rglob("*.json"):
        document = json.loads(path.read_text())
        check("record", {"inline": {}} | document)
        kind, body = document["kind"], document["body"]
        seen.add(kind)
        if kind == "split":
            joined = documented("joined")
            check("split", {name: value for name, value in body.items() if name not in joined})
            check("joined", {name: value for name, value in body.items() if name in joined})
        elif kind != "input":
            names = [*body.get("arrays", {}), *body]
            assert {name for name in names if f"`{name}`" not in kinds[kind]} <= {"arrays"}, kind
    assert seen == set(kinds), "a kind that no run writes, or that the page lacks"
    for path in (cache / "datasets").iterdir():
        (row,) = [line for line in PAGE.splitlines() if line.startswith("| `v1/datasets/")]
        assert all(f"`{name}`" in row for name in json.loads(path.read_text()))
