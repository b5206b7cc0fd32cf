"""Clusters split on embeddings of their own, in real runs: what they show, what is computed again, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import read_elem

from cellstrata.tasks.stores.digest import digest_array
from tests.flows.commands.test_command import config
from tests.flows.conftest import Command, Run
from tests.flows.outputs import labels
from tests.tasks.branches.planted import Rare, recovered

OWN: dict[str, Any] = {"method": "hvg_pca", "n_top_genes": 500, "n_comps": 10}
BASE: dict[str, Any] = {"resolutions": [0.3], "recompute_neighbors": True, "neighbors": {"use_rep": "X_pca"}}
SECOND: dict[str, Any] = {"hierarchy": {"levels": {2: {"resolution": 0.5, "embedding": OWN}}}}


@pytest.fixture(scope="module")
def stored(planted: Rare, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted cells as a zarr, of which a result links what it holds; of an h5ad each run converts all genes."""
    path = tmp_path_factory.mktemp("stored") / "cells.zarr"
    planted.data.write_zarr(path)
    return path


def entries(folder: Path) -> dict[str, dict[str, int]]:
    """The entries of the cache by kind, and when each was written."""
    found: dict[str, dict[str, int]] = {}
    for path in (folder / "cache" / "v1" / "records").rglob("*.json"):
        found.setdefault(json.loads(path.read_text())["kind"], {})[path.stem] = path.stat().st_mtime_ns
    return found


def test_a_rare_subtype_is_found_below_its_type(one: Run, planted_file: Path, planted: Rare, tmp_path: Path) -> None:
    own = one(planted_file, BASE | SECOND)
    reuse = one(planted_file, BASE | {"hierarchy": {"levels": {2: {"resolution": 0.5}}}}, out="reuse")
    found = {name: labels(report)["leiden_0.3_2"].to_numpy() for name, report in {"own": own, "reuse": reuse}.items()}
    assert recovered(found["own"], planted.rare) > 0.9
    assert recovered(found["reuse"], planted.rare) < 0.2
    tree = anndata.read_zarr(own["output"]).uns["clustering"]["tree"].set_index("cluster")
    first = tree[tree["level"] == 1]
    assert set(first["embedding"]) == {"hvg_pca of the cluster (10 components, 500 genes by seurat)"}
    before = entries(tmp_path)
    again = one(planted_file, BASE | SECOND, out="again")
    assert again["splits"]["executed"] == 0
    assert entries(tmp_path)["embedding"] == before["embedding"]
    assert labels(again).equals(labels(own))


def test_any_runner_and_cache_gives_the_same(one: Run, stored: Path, tmp_path: Path) -> None:
    asked = BASE | {"hierarchy": 3, "embedding": OWN, "ensemble": 2}
    first = one(stored, asked)
    for name, how in {"processes": {"runner": "processes"}, "grained": {"grain": 50}}.items():
        other = one(stored, asked, out=name, cache=str(tmp_path / f"cache of {name}"), **how)
        assert labels(other).equals(labels(first)), name


def test_another_embedding_of_one_branch_computes_its_subtree_alone(one: Run, stored: Path, tmp_path: Path) -> None:
    everywhere = {"levels": {2: {"resolution": 0.5, "embedding": OWN}, 3: {}}}
    one(stored, BASE | {"hierarchy": everywhere})
    before = entries(tmp_path)
    differs = {**everywhere, "clusters": {"1": {"embedding": {**OWN, "n_comps": 12}}}}
    report = one(stored, BASE | {"hierarchy": differs}, out="other")
    after = entries(tmp_path)
    assert len(after["embedding"]) == len(before["embedding"]) + 1
    tree = anndata.read_zarr(report["output"]).uns["clustering"]["tree"]
    made = set(tree.loc[~tree["from_cache"] & (tree["key"] != ""), "cluster"])
    assert made
    assert {label.split("_")[0] for label in made} == {"1"}
    assert {key: after["embedding"][key] for key in before["embedding"]} == before["embedding"]


def test_level_3_reuses_the_embedding_of_all_cells_unless_told_otherwise(one: Run, stored: Path) -> None:
    report = one(stored, BASE | {"hierarchy": {"levels": {2: {"embedding": "pca"}, 3: {}}}})
    tree = anndata.read_zarr(report["output"]).uns["clustering"]["tree"]
    split = tree[tree["key"] != ""]
    assert set(split.loc[split["level"] == 2, "embedding"]) == {"X_pca"}
    assert set(split.loc[split["level"] == 1, "embedding"]) == {"pca of the cluster (50 components)"}


def test_evidence_and_rules_use_the_same_embedding(one: Run, stored: Path) -> None:
    more = {"evidence": {"halves": 2, "null": 2}, "stop": {"replicability": 0.3}}
    report = one(stored, BASE | SECOND | more)
    tree = anndata.read_zarr(report["output"]).uns["clustering"]["tree"]
    assert tree.loc[tree["embedding"].str.startswith("hvg_pca"), "replicability"].notna().all()


def test_the_plan_knows_of_them(planted_file: Path, command: Command, tmp_path: Path) -> None:
    path = config(tmp_path, planted_file, **(BASE | SECOND | {"ensemble": 1}))
    done = command("run", path, "--runner", "threads")
    assert done.returncode == 0, done.stderr
    planned = command("plan", path, "--json")
    levels = json.loads(planned.stdout)["datasets"]["d/f"]["trees"][0]["levels"]
    assert [level["to_compute"] for level in levels] == [0, 0]
    assert [level["unknown_cells"] for level in levels] == [0, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"embedding": {"method": "hvg_pca", "layer": "none"}}, ["layers['none']", "is not in the file"]),
        ({"embedding": {"method": "pca", "layer": "counts"}}, ["layers['counts']", "which are counts"]),
        ({"embedding": {"method": "pca", "normalize": True}}, ["X", "which are logarithms already"]),
        ({"embedding": {"method": "hvg_pca", "batch_key": "doner"}}, ["obs['doner']", "did you mean `donor`?"]),
        ({"embedding": {"method": "pca", "raw": True}}, ["raw/X", "is not in the file"]),
    ],
)
def test_wrong_expression_is_told_before_any_work(
    planted_file: Path, command: Command, tmp_path: Path, more: Any, said: list[str]
) -> None:
    done = command("run", config(tmp_path, planted_file, **(BASE | {"hierarchy": 2} | more)))
    assert done.returncode == 2
    for part in [*said, str(planted_file)]:
        assert part in done.stderr
    assert not list((tmp_path / "out").rglob("*.zarr"))


def test_no_expression_at_all(command: Command, tmp_path: Path) -> None:
    cells = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    anndata.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(60)]), obsm={"X_pca": cells}).write_h5ad(
        tmp_path / "bare.h5ad"
    )
    done = command("run", config(tmp_path, tmp_path / "bare.h5ad", hierarchy=2, embedding="pca"))
    assert done.returncode == 2
    assert "X" in done.stderr
    assert "it has no other expression values either" in done.stderr


def test_a_notice_where_levels_mix(one: Run, planted: Rare, tmp_path: Path) -> None:
    data = planted.data.copy()
    data.obsm["X_scVI"] = data.obsm.pop("X_pca")
    data.write_h5ad(tmp_path / "latent.h5ad")
    report = one(tmp_path / "latent.h5ad", BASE | SECOND | {"neighbors": {"use_rep": "X_scVI"}})
    assert any("X_scVI" in notice and "embedding: reuse" in notice for notice in report["notices"])


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three groups of 60 cells, of two parts each; in the second all genes are constant."""
    rng = np.random.default_rng(0)
    group, part = np.repeat([0, 1, 2], 60), np.tile([0, 1], 90)
    values = rng.poisson(1.0, (180, 40)).astype(np.float32)
    values[part == 1, :10] += 6
    values[group == 1] = 1.0
    cells = (group[:, None] * 50 + rng.normal(size=(180, 4))).astype(np.float32)
    data = anndata.AnnData(np.log1p(values), obsm={"X_pca": cells})
    path = tmp_path_factory.mktemp("flat") / "flat.h5ad"
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("hierarchy", [3, "until_stable"])
def test_a_cluster_without_an_embedding_stays_whole(one: Run, flat: Path, tmp_path: Path, hierarchy: Any) -> None:
    asked = BASE | {"resolutions": [0.1], "hierarchy": hierarchy, "embedding": OWN, "min_cells": 10}
    asked["neighbors"] = {"use_rep": "X_pca", "n_neighbors": 5}
    report = one(flat, asked)
    tree = anndata.read_zarr(report["output"]).uns["clustering"]["tree"].set_index("cluster")
    why = "no embedding of its own: all cells have the same values of all genes"
    (left,) = (label for label in tree.index[tree["level"] == 1] if tree.loc[label, "reason"].startswith(why))
    assert tree.loc[left, "n_cells"] == 60
    assert tree.loc[left, ["key", "embedding"]].tolist() == ["", ""]
    others = tree[(tree["level"] == 1) & (tree.index != left)]
    assert (others["embedding"].str.startswith("hvg_pca")).all()
    below = tree.loc[f"{left}_0"]
    assert below["reason"] == tree.loc[left, "reason"]  # the same cells, asked for in the same way
    assert below["n_cells"] == 60
    (notice,) = (notice for notice in report["notices"] if why in notice)
    assert f"{left} stays whole" in notice
    again = one(flat, asked, out="again", runner="processes")
    assert again["splits"]["executed"] == 0
    assert labels(again).equals(labels(report))


def test_the_plan_and_explain_know_of_such_clusters(flat: Path, command: Command, tmp_path: Path) -> None:
    asked = BASE | {"hierarchy": 2, "embedding": OWN, "min_cells": 10, "neighbors": {"n_neighbors": 5}, "ensemble": 1}
    path = config(tmp_path, flat, **(asked | {"resolutions": [0.1]}))
    done = command("run", path, "--runner", "threads")
    assert done.returncode == 0, done.stderr
    assert "no embedding of its own" in done.stderr
    planned = command("plan", path, "--json")
    (level,) = json.loads(planned.stdout)["datasets"]["d/f"]["trees"][0]["levels"][1:]
    assert level["left_whole"] == {"no embedding of its own": 1}
    assert [level["to_compute"], level["unknown_cells"], level["left_whole_cells"]] == [0, 0, 60]


def test_a_notice_where_no_level_uses_it(one: Run, flat: Path) -> None:
    report = one(flat, BASE | {"embedding": OWN})
    assert [notice for notice in report["notices"] if "add `hierarchy: 2`" in notice]


def test_embeddings_are_published_where_they_are_asked_for(one: Run, flat: Path, s3: str, tmp_path: Path) -> None:
    asked = BASE | {"resolutions": [0.1], "hierarchy": 3, "embedding": OWN, "min_cells": 10, "publish_embeddings": True}
    asked["neighbors"] = {"use_rep": "X_pca", "n_neighbors": 5}
    report = one(flat, asked)
    place = tmp_path / "out" / "clustering" / "dataset~d" / "file_id~f" / "embeddings.zarr"
    assert report["embeddings"] == str(place)
    result = anndata.read_zarr(report["output"])
    tree = result.uns["clustering"]["tree"]
    derived = tree[tree["embedding"].str.startswith("hvg_pca")]
    assert len(derived) >= 4, "at two levels"
    for row in derived.itertuples():
        one_of = anndata.read_zarr(place / row.column / row.cluster)
        assert one_of.obs_names.tolist() == result.obs_names[result.obs[row.column] == row.cluster].tolist()
        assert one_of.obsm["X_pca"].shape[0] == row.n_cells
        assert one_of.obsm["X_pca"].dtype == np.float32
        assert digest_array(np.ascontiguousarray(one_of.obsm["X_pca"])) == row.cells, "what was split"
        assert 0 < one_of.n_vars <= result.n_vars
        assert set(one_of.var_names) <= set(result.var_names)
        assert one_of.uns["embedding"]["derived"] == row.embedding
    assert {path.name for path in place.iterdir() if path.is_dir()} == {*derived["column"], "uns"}

    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    assert one(flat, asked)["splits"]["executed"] == 0
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before, "exactly these stood there"
    remote = one(flat, asked, output_dir=f"{s3}/out")
    whole = read_elem(zarr.open_group(remote["embeddings"], mode="r"))
    first = derived.iloc[0]
    there = anndata.read_zarr(place / first.column / first.cluster)
    np.testing.assert_array_equal(whole[first.column][first.cluster].obsm["X_pca"], there.obsm["X_pca"])

    without = one(flat, {**asked, "publish_embeddings": False})
    assert labels(without).equals(labels(report))
    assert "embeddings" not in without
    assert not place.exists()


def test_what_is_not_ours_stays(flat: Path, command: Command, tmp_path: Path) -> None:
    place = tmp_path / "out" / "clustering" / "dataset~d" / "file_id~f" / "embeddings.zarr"
    place.mkdir(parents=True)
    (place / "notes.txt").write_text("mine")
    path = config(tmp_path, flat, **(BASE | {"hierarchy": 2, "embedding": OWN, "publish_embeddings": True}))
    done = command("run", path, "--runner", "threads")
    assert done.returncode == 2
    assert f"{place}: stands where `publish_embeddings` writes" in done.stderr
    assert [each.name for each in place.iterdir()] == ["notes.txt"]
