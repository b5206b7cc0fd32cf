"""Evidence and rules to stop by in real runs: trees that end where the data end, whatever computes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.stores.digest import canonical_json, digest_array
from tests import ROOT
from tests.flows.commands.test_command import COMMAND, config
from tests.flows.conftest import Command, Run
from tests.flows.outputs import entries, labels, tree_of

DEPTHS = {"0": 2, "1": 1, "2": 2}  # of the planted tree, below its three groups


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three groups, two of which are of three subgroups; donors are spread evenly, but for one subgroup of its own."""
    rng = np.random.default_rng(0)
    top = np.linalg.qr(rng.normal(size=(12, 3)))[0].T * 14
    points, leaf = [], []
    for number, middle in enumerate(top):
        ways = np.linalg.qr(rng.normal(size=(12, 3)))[0].T * 2.8
        for child in range(3 if DEPTHS[str(number)] == 2 else 1):
            points.append(middle + ways[child] + rng.normal(size=(220, 12)))
            leaf += [f"{number}_{child}"] * 220
    leaf_names = np.array(leaf)
    donor = rng.integers(0, 4, len(leaf)).astype(str)
    donor[leaf_names == "2_2"] = "9"
    obs = pd.DataFrame({"leaf": leaf, "donor": donor}, index=[f"c{i}" for i in range(len(leaf))])
    order = rng.permutation(len(leaf))
    adata = anndata.AnnData(obs=obs.iloc[order], obsm={"X_pca": np.vstack(points)[order].astype(np.float32)})
    path = tmp_path_factory.mktemp("planted") / "planted.h5ad"
    adata.write_h5ad(path)
    return path


STABLE: dict[str, Any] = {"hierarchy": "until_stable", "batch_keys": ["donor"], "resolutions": [0.2]}


def test_a_tree_ends_where_the_data_end(one: Run, planted: Path) -> None:
    report = one(planted, STABLE)
    assert report["columns"] == ["leiden_0.2_1", "leiden_0.2_2"]
    adata = anndata.read_zarr(report["output"])
    table = pd.crosstab(adata.obs["leaf"], adata.obs["leiden_0.2_2"])
    assert table.shape == (7, 7)
    assert (table.max(axis=1) > 190).all()
    tree = tree_of(report).set_index("cluster")
    ends = tree[(tree["level"] == 2)]
    assert ends["reason"].str.match("not replicable|hardly above|not surely|one community").all()
    assert (ends["n_children"] == 0).all()
    split = tree[(tree["level"] < 2) & (tree["reason"] == "")]
    assert (split["replicability"] >= 0.5).all()
    assert (split["p"] < 0.05).all()
    assert (ends["purity"] > 0.7).all()
    assert (ends["separation"] > 3).all()
    spread = {label: json.loads(text)["donor"] for label, text in ends["batches"].items()}
    assert sorted(one["of"] for one in spread.values() if one["largest"] > 0.7) == ["9"]


def test_any_runner_and_grain_gives_the_same(one: Run, planted: Path, tmp_path: Path) -> None:
    first = one(planted, STABLE)
    ways = {"processes": {"runner": "processes"}, "grained": {"grain": 100}, "whole": {"grain": 5000}}
    for name, how in ways.items():
        other = one(planted, STABLE, out=name, cache=str(tmp_path / f"cache of {name}"), **how)
        assert labels(other).equals(labels(first))
        said = ["cluster", "n_cells", "reason", "replicability", "expected", "p", "purity", "separation", "batches"]
        pd.testing.assert_frame_equal(tree_of(other)[said], tree_of(first)[said])


def test_another_bound_computes_no_split_and_no_evidence_again(one: Run, planted: Path, tmp_path: Path) -> None:
    base = {"hierarchy": 3, "resolutions": [1.0], "evidence": {"halves": 2, "null": 2}}
    bare = one(planted, base, grain=100)
    assert bare["splits"]["executed"] > 8
    splits, evidence = entries(tmp_path, "split"), entries(tmp_path, "evidence")
    assert len(evidence) > 5
    for number, stop in enumerate([{"replicability": 0.4}, {"replicability": 0.99, "p": 0.5}, "auto", False]):
        other = one(planted, {**base, "stop": stop}, out=f"out {number}", grain=100)
        assert other["splits"]["executed"] == 0, stop
    assert entries(tmp_path, "split") == splits
    assert entries(tmp_path, "evidence") == evidence
    assert labels(other).equals(labels(bare))


def test_a_split_that_fails_leaves_its_cells_whole_and_says_why(one: Run, planted: Path) -> None:
    levels = {2: {"stop": {"min_children_cells": 10_000}}, 3: {}}
    report = one(planted, {"resolutions": [0.2], "hierarchy": {"levels": levels}})
    tree = tree_of(report)
    second = tree[(tree["level"] == 1) & (tree["n_cells"] > 500)]
    assert len(second) == 2
    assert second["reason"].str.fullmatch(r"children too small: 2\d\d cells in the second \(needs 10000\)").all()
    assert (second["n_children"] == 1).all()
    assert second["replicability"].isna().all()  # nothing asked for it
    third = tree[(tree["level"] == 2) & tree["cluster"].isin([f"{label}_0" for label in second["cluster"]])]
    assert (third["reason"] == "").all()  # tried again, where no rule forbids it
    assert (third["n_children"] == 3).all()


def test_donors_decide_where_they_are_asked(one: Run, planted: Path) -> None:
    rules = {"min_donors": 3}
    kept = one(planted, {"hierarchy": 2, "batch_keys": "donor", "stop": rules})
    assert (tree_of(kept).query("level == 0")["reason"] == "").all()
    refused = one(planted, {"hierarchy": 1, "batch_keys": "donor", "stop": {"min_donors": 6}}, out="other")
    (reason,) = tree_of(refused).query("level == 0")["reason"]
    assert reason == "too few donors: 4 in the second child (needs 6)"
    assert set(labels(refused)["leiden_0.5_1"]) == {"0"}


def test_a_stored_graph_is_judged_by_the_embedding(one: Run, pbmc: Path, tmp_path: Path) -> None:
    report = one(pbmc, {"evidence": {"halves": 2, "null": 2}, "neighbors": {"use_rep": "X_pca"}})
    root = tree_of(report).query("level == 0").iloc[0]
    assert root["n_neighbors"] == 0  # its graph came with the input
    assert root["replicability"] > 0.3
    other = one(pbmc, {"evidence": {"halves": 2, "null": 2}, "neighbors": {"use_rep": "X_umap"}}, out="other")
    assert tree_of(other).query("level == 0").iloc[0]["replicability"] != root["replicability"]
    assert len(entries(tmp_path, "evidence")) == 2
    assert len(entries(tmp_path, "split")) == 1


def test_a_damaged_entry_is_gathered_again(one: Run, planted: Path, tmp_path: Path) -> None:
    first = one(planted, STABLE)
    before = entries(tmp_path, "evidence")
    for key in list(before)[:2]:
        (path,) = (tmp_path / "cache").rglob(f"{key}.json")
        path.write_text(path.read_text().replace('"halves":[', '"halves":[9,'))
    again = one(planted, STABLE, out="again")
    assert labels(again).equals(labels(first))
    now = entries(tmp_path, "evidence")
    assert set(now) == set(before)
    assert {key for key in now if now[key] != before[key]} == set(list(before)[:2])


def test_evidence_that_a_bundle_lost_is_gathered_again(one: Run, planted: Path, tmp_path: Path) -> None:
    """A newer version may gather it in another way: the splits stay, and the run goes on."""
    first = one(planted, STABLE)
    for path in (tmp_path / "cache" / "v1" / "records").rglob("*.json"):
        document = json.loads(path.read_text())
        if document["kind"] == "bundle":
            document["body"]["evidence"] = []
            document["digest"] = digest_array(np.frombuffer(canonical_json(document["body"]), dtype=np.uint8))
            path.write_bytes(canonical_json(document))
    for key in entries(tmp_path, "evidence"):
        next((tmp_path / "cache").rglob(f"{key}.json")).unlink()
    again = one(planted, STABLE, out="again")
    assert again["splits"]["executed"] == 0
    assert labels(again).equals(labels(first))


def test_deeper_columns_of_an_earlier_run_are_left_out(one: Run, planted: Path) -> None:
    earlier = one(planted, {"hierarchy": 4, "resolutions": [0.2]})
    report = one(Path(earlier["output"]), STABLE, out="again")
    obs = anndata.read_zarr(report["output"]).obs
    assert [name for name in obs if name.startswith("leiden")] == report["columns"] == ["leiden_0.2_1", "leiden_0.2_2"]
    assert any("leiden_0.2_3, leiden_0.2_4" in notice for notice in report["notices"])


def test_the_embedding_of_an_unrecorded_graph_is_that_which_scanpy_took(one: Run, tmp_path: Path) -> None:
    """With at most 50 variables scanpy builds the graph on X, whatever is in obsm."""
    import scanpy as sc

    rng = np.random.default_rng(0)
    of = np.arange(600) % 4
    adata = anndata.AnnData((rng.normal(size=(4, 20)) * 6)[of].astype(np.float32) + rng.normal(size=(600, 20)))
    adata.X = adata.X.astype(np.float32)
    adata.obs_names = [f"c{i}" for i in range(600)]
    sc.pp.neighbors(adata)
    adata.obsm["X_pca"] = rng.normal(size=(600, 10)).astype(np.float32)
    adata.write_h5ad(tmp_path / "panel.h5ad")
    report = one(tmp_path / "panel.h5ad", {"resolutions": [0.2], "evidence": {"halves": 2, "null": 2}})
    assert tree_of(report).query("level == 0").iloc[0]["replicability"] > 0.9


def test_refresh_gathers_it_anew(one: Run, planted: Path, tmp_path: Path) -> None:
    first = one(planted, STABLE, grain=100)
    before = entries(tmp_path, "evidence")
    again = one(planted, STABLE, out="again", grain=100, refresh=True)
    now = entries(tmp_path, "evidence")
    assert set(now) == set(before)
    assert all(now[key] > before[key] for key in before)
    assert labels(again).equals(labels(first))


@pytest.mark.processes
def test_a_killed_run_goes_on_with_the_evidence_that_it_has(
    server: str, planted: Path, one: Run, run: Run, tmp_path: Path
) -> None:
    path = config(tmp_path, planted, ensemble=1, **STABLE)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server}
    with subprocess.Popen(
        [*COMMAND, "run", path, "--workers", "2", "--grain", "100"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        until = time.monotonic() + 150
        while not records_there(tmp_path) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    kept = entries(tmp_path, "evidence")
    assert kept
    report = run(**json.loads(Path(path).read_text()), grain=100)["datasets"]["d/f"]
    now = entries(tmp_path, "evidence")
    assert {key: now[key] for key in kept} == kept
    whole = one(planted, STABLE, out="whole", cache=str(tmp_path / "another"))
    assert labels(report).equals(labels(whole))


def records_there(folder: Path) -> bool:
    try:
        return bool(entries(folder, "evidence"))
    except FileNotFoundError:
        return False


def test_what_plan_and_explain_tell(planted: Path, command: Command, tmp_path: Path) -> None:
    path = config(tmp_path, planted, ensemble=1, evidence=True, **STABLE)
    planned = command("plan", path, "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["total"]["nothing_to_compute"] is False
    ran = command("run", path, "--json", "--runner", "threads")
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout.splitlines()[-1])["datasets"]["d/f"]
    planned = command("plan", path)
    assert "nothing to compute" in planned.stderr + planned.stdout
    assert "not replicable" in planned.stderr + planned.stdout
    assert "leiden 0.2     4" not in planned.stderr + planned.stdout  # of the bound of twelve levels
    explained = command("explain", report["output"], "--cluster", "0_0", "--column", "leiden_0.2_2")
    assert "evidence   halves clustered apart agree with ARI " in explained.stdout
    assert "standard deviations from the nearest" in explained.stdout
    assert "cells of   donor: " in explained.stdout


def test_without_the_column_nothing_begins(run: Run, planted: Path, tmp_path: Path) -> None:
    from cellstrata.flows.preparation import UnusableInputs

    settings = {"algorithm": "leiden", "resolutions": [0.5], "batch_keys": ["doner"]}
    dataset = {"input": {"clustering": {"f": str(planted)}}, "clustering": settings}
    said = "`batch_keys` names it, but there is no such column; did you mean `donor`"
    with pytest.raises(UnusableInputs, match=said):
        run(DATASETS={"d": dataset}, output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"))
    assert not (tmp_path / "out").exists()
