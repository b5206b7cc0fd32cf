"""Data beyond the size of an exact search: neighbours of clusters come from lists of all cells, everywhere alike."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.kernels.knn import EXACT_UP_TO
from tests.flows.conftest import Cluster, Run
from tests.flows.outputs import labels
from tests.tasks.everything import load

N = EXACT_UP_TO + 1_000
SETTINGS = {"resolutions": [0.3], "hierarchy": 2, "neighbors": {"n_neighbors": 10}}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six groups that touch, so that cells at their rims keep few of their neighbours."""
    rng = np.random.default_rng(5)
    group = rng.integers(0, 6, N)
    embedding = (rng.normal(size=(6, 6)) * 1.2)[group] + rng.normal(size=(N, 6))
    adata = anndata.AnnData(
        obs=pd.DataFrame(index=[f"c{i}" for i in range(N)]), obsm={"X_pca": embedding.astype(np.float32)}
    )
    path = tmp_path_factory.mktemp("many") / "many.h5ad"
    adata.write_h5ad(path)
    return path


def test_any_runner_and_the_command_for_one_level_find_the_same(
    cells: Path, one: Run, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = one(cells, SETTINGS)
    tree = load(expected["output"]).uns["clustering"]["tree"]
    split = tree[tree["key"] != ""]
    served = split[split["n_cells"] >= 1_000]
    assert len(served) > 3
    assert served["knn"].str.startswith("lists of 40 by faiss").all()
    assert served["knn"].str.contains(" by faiss-.*exact").any(), "some cells keep too few neighbours"
    distances = load(expected["output"]).obsp["distances"]
    assert (np.diff(distances.indptr) == 9).all()

    settings = SETTINGS | {"min_cells": 0}
    others = [
        one(cells, settings, "processes", runner="processes", cache=str(tmp_path / "other")),
        one(cells, settings, "small", grain=500, cache=str(tmp_path / "third")),
    ]
    for report in others:
        assert report["splits"]["executed"] > 3
        assert labels(report).equals(labels(expected))

    arguments = ["--resolution", 0.3, "--neighbors_args", '{"n_neighbors": 10}', "--threads", 2]
    for cache, computed in ((tmp_path / "cache", False), (tmp_path / "fourth", True)):
        monkeypatch.setenv("CELLSTRATA_CACHE", str(cache))
        for level, source in ((1, cells), (2, "l1.zarr")):
            code, printed = cluster(source, f"l{level}.zarr", "--level", level, *arguments, "--overwrite")
            assert code == 0, printed
            assert (" 0 splits computed" not in printed) is computed, printed
            found = load(f"l{level}.zarr").obs[f"leiden_0.3_{level}"].astype(str)
            assert found.tolist() == labels(expected)[f"leiden_0.3_{level}"].tolist()

    again = one(cells, settings | {"neighbors": {"n_neighbors": 12}}, "twelve")  # of the same lists
    assert again["splits"]["executed"] > 3
    records = (tmp_path / "cache" / "v1" / "records").rglob("*.json")
    assert sum('"kind":"knn"' in record.read_text() for record in records) == 1


def test_the_lists_are_told_as_what_a_result_uses(cells: Path, one: Run, tmp_path: Path) -> None:
    one(cells, SETTINGS)
    files = list((tmp_path / "cache" / "v1" / "records").rglob("*.json"))
    (lists,) = (file.stem for file in files if '"kind":"knn"' in file.read_text())
    (note,) = (tmp_path / "cache" / "v1" / "datasets").glob("*.json")
    assert lists in json.loads(note.read_text())["keys"]


def test_from_a_bucket_where_clusters_are_split_together(
    cells: Path, blobs: Path, one: Run, run: Run, s3: str, tmp_path: Path
) -> None:
    """Jobs there are told what the cache has: lists that were made since another data set looked are among it."""
    expected = one(cells, SETTINGS)
    small = {**SETTINGS, "neighbors": {"use_rep": "X_latent"}}
    datasets = {
        name: {"input": {"clustering": {"f": str(path)}}, "clustering": {"algorithm": "leiden", "ensemble": 1, **asked}}
        for name, path, asked in (("first", blobs, small), ("then", cells, SETTINGS))
    }
    found = run(
        DATASETS=datasets, output_dir=str(tmp_path / "away"), cache=f"{s3}/cache", runner="processes", grain=9000
    )
    report = found["datasets"]["then/f"]
    assert "error" not in report, report["error"]
    assert report["splits"]["executed"] == expected["splits"]["executed"] > 3
    assert labels(report).equals(labels(expected))


def test_a_stored_graph_at_level_1_and_the_command_for_one_level(
    cells: Path, one: Run, cluster: Cluster, tmp_path: Path
) -> None:
    """What level 1 is split on decides nothing below, in a run and level by level."""
    stored = load(one(cells, {**SETTINGS, "hierarchy": 1}, "first")["output"])
    path = tmp_path / "stored.h5ad"
    anndata.AnnData(obs=stored.obs[[]], obsm={"X_pca": stored.obsm["X_pca"]}, obsp=dict(stored.obsp), uns={
        "neighbors": stored.uns["neighbors"]
    }).write_h5ad(path)  # fmt: skip
    report = one(path, SETTINGS, "stored")
    tree = load(report["output"]).uns["clustering"]["tree"]
    assert tree["knn"].str.startswith("lists of 40 by faiss").any()
    for level, source in ((1, path), (2, "l1.zarr")):
        arguments = ["--level", level, "--resolution", 0.3, "--neighbors_args", '{"n_neighbors": 10}']
        code, printed = cluster(source, f"l{level}.zarr", *arguments)
        assert code == 0, printed
        assert " 0 splits computed" in printed, printed
        found = load(f"l{level}.zarr").obs[f"leiden_0.3_{level}"].astype(str)
        assert found.tolist() == labels(report)[f"leiden_0.3_{level}"].tolist()
