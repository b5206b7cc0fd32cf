"""Which resolution to take, in real runs: by a sweep, of resolutions that are listed, and by the command alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cellstrata.flows.commands.advise import _table
from cellstrata.tasks.advice.advice import Advice, advise
from tests.flows.commands.test_command import config
from tests.flows.conftest import Command, Run
from tests.flows.outputs import labels
from tests.tasks.advice.test_advice import facts
from tests.tasks.small import graph_of

GROUPS, PARTS = 4, 3
SWEEP: dict[str, Any] = {"resolutions": "auto", "evidence": {"halves": 2, "null": 2}}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four groups far apart, of three parts each, which can be told too."""
    rng = np.random.default_rng(3)
    top = np.linalg.qr(rng.normal(size=(12, GROUPS)))[0].T * 11
    points, leaf = [], []
    for number, middle in enumerate(top):
        ways = np.linalg.qr(rng.normal(size=(12, PARTS)))[0].T * 4.5
        for part in range(PARTS):
            points.append(middle + ways[part] + rng.normal(size=(110, 12)))
            leaf += [f"{number}_{part}"] * 110
    obs = pd.DataFrame({"leaf": leaf}, index=[f"c{i}" for i in range(len(leaf))])
    order = rng.permutation(len(leaf))
    adata = anndata.AnnData(obs=obs.iloc[order], obsm={"X_pca": np.vstack(points)[order].astype(np.float32)})
    path = tmp_path_factory.mktemp("planted") / "planted.h5ad"
    adata.write_h5ad(path)
    return path


def advice_in(report: dict[str, Any]) -> Advice:
    """What the result itself says."""
    text = anndata.read_zarr(report["output"]).uns["clustering"]["advice"]
    (found,) = map(Advice.from_json, json.loads(text))
    return found


def test_a_sweep_finds_the_resolutions_and_a_run_that_lists_them_computes_nothing(one: Run, planted: Path) -> None:
    report = one(planted, {**SWEEP, "hierarchy": 2}, figures=True, report=True)
    found = advice_in(report)
    assert [found.to_json()] == report["advice"]
    assert found.advised in found.candidates
    assert report["columns"] == [f"leiden_{each}_{level}" for each in found.candidates for level in (1, 2)]
    assert len(found.resolutions) >= 8
    adata = anndata.read_zarr(report["output"])
    table = pd.crosstab(adata.obs["leaf"], adata.obs[f"leiden_{found.advised}_1"])
    assert table.shape == (GROUPS * PARTS, GROUPS * PARTS)
    assert (table.max(axis=1) > 100).all()  # the finest that is found again
    assert json.loads(adata.uns["clustering"]["configuration"])["clustering"]["resolutions"] == "auto"
    folder = Path(report["figures"])
    assert (folder / "tree" / "resolutions--leiden.png").read_bytes()[:4] == b"\x89PNG"
    assert found.said in Path(report["report"]).read_text()
    again = one(planted, {**SWEEP, "hierarchy": 2}, figures=True)
    assert (again["splits"]["executed"], again["written"]) == (0, False)
    listed = one(planted, {"resolutions": list(found.candidates), "hierarchy": 2}, out="listed")
    assert listed["splits"]["executed"] == 0
    assert labels(listed).equals(labels(report))


def test_any_runner_sweeps_the_same(one: Run, planted: Path, tmp_path: Path) -> None:
    first = one(planted, SWEEP)
    other = one(planted, SWEEP, out="processes", cache=str(tmp_path / "other"), runner="processes", grain=100)
    assert other["advice"] == first["advice"]
    assert labels(other).equals(labels(first))


def test_of_resolutions_that_are_listed_it_is_said_which_to_take(one: Run, planted: Path) -> None:
    asked = {"resolutions": [2.5, 0.02, 0.4], "evidence": {"halves": 2, "null": 2}}
    report = one(planted, asked)
    assert report["columns"] == ["leiden_2.5_1", "leiden_0.02_1", "leiden_0.4_1"]  # nothing is dropped
    found = advice_in(report)
    assert [each.resolution for each in found.resolutions] == [0.02, 0.4, 2.5]
    assert found.advised == 0.4
    single = one(planted, {"resolutions": [0.4]}, out="single")
    assert single["advice"] == []
    assert "advice" not in anndata.read_zarr(single["output"]).uns["clustering"]
    bare = advice_in(one(planted, {"resolutions": [0.4, 2.5]}, out="bare"))  # single runs, and no evidence
    assert bare.advised is None
    joined = advice_in(one(planted, {"resolutions": [0.4, 2.5], "ensemble": 3}, out="joined"))
    assert (joined.advised, joined.resolutions[0].replicability) == (0.4, None)


def test_two_algorithms_have_a_sweep_each(one: Run, planted: Path) -> None:
    report = one(planted, {**SWEEP, "algorithm": ["leiden", "louvain"]})
    leiden, louvain = map(Advice.from_json, report["advice"])
    assert (leiden.algorithm, louvain.algorithm) == ("leiden", "louvain")
    made = [f"{each.algorithm}_{resolution}_1" for each in (leiden, louvain) for resolution in each.taken]
    assert report["columns"] == made


def test_one_cloud_is_one_cluster_or_nothing_stands(one: Run, tmp_path: Path) -> None:
    cloud = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    adata = anndata.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(300)]), obsm={"X_pca": cloud})
    adata.write_h5ad(tmp_path / "cloud.h5ad")
    report = one(tmp_path / "cloud.h5ad", SWEEP)
    (found,) = map(Advice.from_json, report["advice"])
    assert found.said.startswith(("no partition stands", "one cluster at every resolution"))
    assert (found.advised, len(report["columns"])) == (None, 1)


def test_a_stored_graph_is_swept_too(one: Run, planted: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(planted)
    adata.obsp["connectivities"] = graph_of(np.asarray(adata.obsm["X_pca"])).to_csr()
    params = {"n_neighbors": 10, "method": "umap", "metric": "euclidean", "use_rep": "X_pca"}
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": params}
    adata.write_h5ad(tmp_path / "graph.h5ad")
    (found,) = map(Advice.from_json, one(tmp_path / "graph.h5ad", SWEEP)["advice"])
    assert next(each.n_clusters for each in found.resolutions if each.resolution == found.advised) == GROUPS * PARTS


def test_the_command_sweeps_alone_and_plan_and_run_go_on_from_there(
    command: Command, tmp_path: Path, planted: Path
) -> None:
    path = config(tmp_path, planted, resolutions="auto", evidence={"halves": 2, "null": 2}, ensemble=1)
    before = command("plan", path, "--json")
    assert before.returncode == 0, before.stderr
    planned = json.loads(before.stdout.splitlines()[-1])["datasets"]["d/f"]
    assert [tree["sweep"] for tree in planned["trees"]] == [True] * 8
    assert any("yet to be found" in notice for notice in planned["notices"])
    done = command("advise", path, "--json", "--chart", str(tmp_path / "charts"), "--runner", "threads")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])["datasets"]["d/f"]
    (found,) = map(Advice.from_json, report["advice"])
    assert found.said in done.stderr
    assert (tmp_path / "charts" / "d--f--leiden.png").read_bytes()[:4] == b"\x89PNG"
    assert not list((tmp_path / "out").rglob("*.zarr"))
    after = json.loads(command("plan", path, "--json").stdout.splitlines()[-1])
    assert after["total"]["nothing_to_compute"]
    asked = [tree["resolution"] for tree in after["datasets"]["d/f"]["trees"] if "sweep" not in tree]
    assert tuple(asked) == found.candidates
    ran = command("run", path, "--json", "--runner", "threads")
    result = json.loads(ran.stdout.splitlines()[-1])["datasets"]["d/f"]
    assert result["splits"]["executed"] == 0
    assert result["advice"] == report["advice"]
    assert f"d/f, leiden: {found.said}" in ran.stderr
    explained = command("explain", result["output"], "--column", result["columns"][0])
    assert found.said in explained.stdout


def test_the_table_of_the_command_has_its_numbers_under_their_names() -> None:
    found = advise("leiden", [facts(0.4, 11, 0.92, null=0.25, recovered=0.88, stability=0.97, next_alike=0.1),
                              facts(1.0, 19, 0.1)])  # fmt: skip
    shown = Console(width=200, record=True, file=io.StringIO())
    shown.print(_table(found))
    head, first, second = shown.export_text().splitlines()
    values = {"resolution": "0.4", "clusters": "11", "replicability": "0.92", "recovered": "0.88", "of a cloud": "0.25",
              "stability": "0.97"}  # fmt: skip
    for name, value in values.items():
        end = head.index(name) + len(name)
        assert first[:end].endswith(value), (name, first)
    assert "advised" in first
    assert "not replicable" in second


def test_plan_ends_where_two_datasets_sweep_the_same_cells(command: Command, tmp_path: Path, planted: Path) -> None:
    path = config(tmp_path, planted, resolutions="auto", evidence={"halves": 2, "null": 2}, ensemble=1)
    document = json.loads(Path(path).read_text())
    document["DATASETS"]["e"] = {**document["DATASETS"]["d"]}
    document["DATASETS"]["e"]["clustering"] = {**document["DATASETS"]["d"]["clustering"], "hierarchy": 2}
    Path(path).write_text(json.dumps(document))
    done = command("plan", path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["datasets"]
    assert [len(found[name]["trees"]) for name in ("d/f", "e/f")] == [8, 8]
    assert all("yet to be found" in found[name]["notices"][-1] for name in found)


def test_own_rules_that_refuse_everything_leave_one_column(one: Run, planted: Path) -> None:
    report = one(planted, {**SWEEP, "stop": {"min_children_cells": 5_000}})
    (found,) = map(Advice.from_json, report["advice"])
    assert (found.advised, found.candidates, len(report["columns"])) == (None, (), 1)
    assert found.said.startswith("no partition stands")
    assert found.said.endswith("(children too small)")
    assert list(report["clusters"].values()) == [1]


def test_what_an_input_has_of_other_trees_is_told(one: Run, planted: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(planted)
    adata.obs["leiden_7.0_1"] = pd.Categorical(["mine"] * adata.n_obs)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    report = one(tmp_path / "mine.h5ad", SWEEP)
    assert any("kept from the input, unless made here" in notice for notice in report["notices"])
    assert (anndata.read_zarr(report["output"]).obs["leiden_7.0_1"] == "mine").all()


def test_the_command_sets_what_is_listed_beside_the_sweep(command: Command, tmp_path: Path, planted: Path) -> None:
    levels = {"levels": {1: {"resolution": 5.0}, 2: 1.0}}
    settings = {"evidence": {"halves": 2, "null": 2}, "ensemble": 1, "overwrite": False, "hierarchy": levels}
    path = config(tmp_path, planted, resolutions=[0.33], **settings)
    done = command("advise", path, "--json", "--runner", "threads")
    assert done.returncode == 0, done.stderr
    (found,) = map(Advice.from_json, json.loads(done.stdout.splitlines()[-1])["datasets"]["d/f"]["advice"])
    resolutions = [each.resolution for each in found.resolutions]
    assert {0.1, 0.33, 2.5} <= set(resolutions)
    assert resolutions == sorted(resolutions)
    assert len({each.n_clusters for each in found.resolutions}) > 2  # not all at level 1's own
