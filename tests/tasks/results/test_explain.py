"""What `explain` says, against the trees from which the results were made, and against the cells themselves."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.collection.columns import collect_columns
from cellstrata.tasks.collection.output import write_collected
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.results.explain import Explanation, explain
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.plan import SplitSpec
from tests.tasks.finished_results import Made, make_result, write_input
from tests.tasks.small import blobs

CELLS = blobs([120, 80, 40])[0]
LEVEL_1 = {1: {"resolution": 0.1}}  # finds the three clouds
LEVELS = {
    2: {"resolution": 0.5, "min_cells": 60},
    3: {"resolution": 2.0, "n_neighbors": 5, "n_iterations": 4, "seed": 7, "metric": "cosine"},
}
CLUSTERS = {"1": False, "0": {"resolution": 0.8}, "0_0": {"resolution": 0.01}}
SETTINGS = {
    "neighbors": {"n_neighbors": 10, "use_rep": "X_pca"},
    "hierarchy": {"levels": LEVEL_1 | LEVELS, "clusters": CLUSTERS},
}
NEWER = ["n_iterations", "seed", "cells", "created", "from_cache", "knn", "engine_reason", "fallback", "gpu_check",
         "runs", "agreement", "cores", "stability"]  # fmt: skip
UNTOLD = {
    "fallback",
    "gpu_check",
    "agreement",
    "replicability",
    "expected",
    "p",
}  # None where no GPU was asked, and of single runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    return make_result(folder, write_input(folder, CELLS, donor=pd.Categorical(["a"] * len(CELLS))), SETTINGS)


def wrong(url: str, cluster: str | None, column: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        explain(Place(url), cluster, column=column)
    assert len(str(error.value).splitlines()) <= 10
    return str(error.value)


def test_clusters_of_three_levels_are_explained_as_they_were_made(made: Made) -> None:
    (tree,) = made.trees
    obs = ad.read_zarr(made.url).obs
    sizes = {tree.label(path): outcome.n_cells for path, outcome in tree.outcomes.items()}
    outcomes = {tree.label(path): outcome for path, outcome in tree.outcomes.items()}
    origins = set()
    for path in tree.outcomes:
        if not path or path[-1] > 1:
            continue
        found = explain(Place(made.url), tree.label(path), column=f"leiden_0.5_{len(path)}")
        assert (found.cluster, found.n_cells) == (tree.label(path), sizes[tree.label(path)])
        assert found.reason == (outcomes[found.cluster].reason or "")
        assert [level.cluster for level in found.levels] == [tree.label(path[:n]) for n in range(1, len(path) + 1)]
        for number, level in enumerate(found.levels, 1):
            outcome = tree.outcomes[path[: number - 1]]
            column = obs[f"leiden_0.5_{number}"].astype(str)
            inside = np.ones(len(CELLS), bool) if number == 1 else (obs[f"leiden_0.5_{number - 1}"] == level.parent)
            there = column[inside].value_counts()
            assert {each.cluster: each.n_cells for each in level.clusters} == there.to_dict()
            assert sum(each.share for each in level.clusters) == pytest.approx(1, abs=1e-3)
            assert level.column == f"leiden_0.5_{number}"
            assert (level.parent, level.n_cells) == (tree.label(path[: number - 1]), inside.sum())
            assert level.reason == (outcome.reason or "")
            assert level.origin == ("split" if outcome.spec else "left whole")
            origins.add((level.origin, level.reason.split(":")[0]))
            spec = tree.plan.decide(path[: number - 1], outcome.n_cells)
            if not isinstance(spec, SplitSpec):
                assert level.split is None
                continue
            split = level.split
            assert split is not None
            assert split.cells == digest_array(CELLS[np.flatnonzero(inside)])
            assert split.key == outcome.key
            assert (split.algorithm, split.resolution) == ("leiden", spec.partition.resolution)
            assert (split.n_iterations, split.seed) == (spec.partition.n_iterations, spec.partition.seed)
            assert (split.n_neighbors, split.metric) == (spec.neighbors.n_neighbors, spec.neighbors.metric)
            assert (split.graph, split.embedding, split.use_weights) == ("computed", "X_pca", True)
            assert split.modularity == pytest.approx(outcome.facts.modularity)
            assert str(split.engine).startswith("cellstrata")
            assert split.engine_reason == "the default"
            assert split.from_cache is False
            assert datetime.now(UTC) - datetime.fromisoformat(str(split.created)) < timedelta(hours=1)
            assert split.seconds is not None
            assert split.seconds < 60
    assert origins == {
        ("split", ""), ("split", "one community"), ("left whole", "not asked for"), ("left whole", "too small")
    }  # fmt: skip


def test_an_ensemble_tells_how_far_its_runs_agree(tmp_path: Path) -> None:
    cloud = np.random.default_rng(5).normal(size=(400, 4)).astype(np.float32)
    settings = {"neighbors": {"use_rep": "X_pca"}, "ensemble": 3, "stability": "obs", "hierarchy": 1}
    made = make_result(tmp_path, write_input(tmp_path, cloud), settings)
    adata = ad.read_zarr(made.url)
    (column,) = json.loads(adata.uns["clustering"]["stability"])
    assert np.array_equal(adata.obsm["clustering_stability"][:, 0], adata.obs[f"{column}_stability"])
    (level,) = explain(Place(made.url), "0").levels
    assert level.split is not None
    assert level.split.runs == 3
    assert level.split.agreement is not None
    assert level.split.agreement < 1
    assert list(level.split.cores) == sorted(level.split.cores, reverse=True) != []
    stability = [each.stability for each in level.clusters]
    assert all(value is not None and 0 < value <= 1 for value in stability)
    assert [each.dissolves for each in level.clusters] == [(value or 0) < 0.5 for value in stability]


def test_the_result_and_its_input(made: Made) -> None:
    found = explain(Place(made.url), "0")
    assert (found.result, found.recorded_in, found.column) == (made.url, made.url, "leiden_0.5_1")
    assert (found.command, found.neighbors_key) == ("run", "neighbors")
    assert found.input == made.finished.source.identity
    assert {"url", "size", "mtime_ns"} == set(found.input)
    assert {"cellstrata", "igraph", "python"} <= set(found.versions)
    assert found.configuration["clustering"]["hierarchy"]["clusters"]["1"] is False
    assert datetime.fromisoformat(str(found.written)) <= datetime.now(UTC)
    assert (found.n_children, found.reason) == (7, "")
    assert found.notices == ()


def test_all_is_level_one(made: Made) -> None:
    for cluster, column in ((None, None), ("all", None), (None, "leiden_0.5_3"), ("all", "leiden_0.5_1")):
        found = explain(Place(made.url), cluster, column=column)
        (level,) = found.levels
        assert (found.cluster, found.n_cells, found.share) == ("all", len(CELLS), 1.0)
        assert (level.cluster, level.level, level.column) == (None, 1, "leiden_0.5_1")
        assert [each.cluster for each in level.clusters] == ["0", "1", "2"]
        assert level.split is not None
        assert level.split.cells == digest_array(CELLS)


def test_it_is_json_and_back(made: Made) -> None:
    for cluster in ("0_1", "2_0", "all"):
        plain = explain(Place(made.url), cluster).to_json()
        assert json.loads(json.dumps(plain, allow_nan=False)) == _lists(plain)
    assert isinstance(explain(Place(made.url), "0_1"), Explanation)


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


def test_what_the_cache_had_and_what_was_computed(tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS)
    first = make_result(tmp_path, source, {**SETTINGS, "hierarchy": {"levels": {**LEVEL_1, 2: {}}}})
    before = explain(Place(first.url), "0_0")
    assert [level.split.from_cache for level in before.levels if level.split] == [False, False]
    again = make_result(tmp_path, source, {**SETTINGS, "hierarchy": {"levels": {**LEVEL_1, 2: {}}}})
    assert again.finished.key() == first.finished.key()
    assert (first.written, again.written) == (True, False)
    assert explain(Place(first.url), "0_0") == before
    deeper = make_result(
        tmp_path, source, {**SETTINGS, "hierarchy": {"levels": {**LEVEL_1, 2: {}, 3: {"n_neighbors": 5}}}}
    )
    assert deeper.written
    splits = [level.split for level in explain(Place(deeper.url), "0_0_0").levels if level.split]
    assert [split.from_cache for split in splits] == [True, True, False]
    assert [split.created for split in splits[:2]] == [level.split.created for level in before.levels if level.split]


def test_a_stored_graph_is_what_was_split(tmp_path: Path) -> None:
    plain = ad.read_zarr(make_result(tmp_path, write_input(tmp_path, CELLS), SETTINGS).url)
    del plain.uns["clustering"]
    plain.obs = plain.obs[[]]
    plain.write_h5ad(tmp_path / "stored.h5ad")
    made = make_result(tmp_path, str(tmp_path / "stored.h5ad"), {**SETTINGS, "algorithm": "louvain"}, "stored")
    first, second = explain(Place(made.url), "0_0", column="louvain_0.5_2").levels
    assert first.split is not None
    assert second.split is not None
    assert (first.split.graph, first.split.n_neighbors, first.split.metric) == ("stored", None, None)
    assert first.split.cells == made.trees[0].plan.root_graph
    assert (first.split.algorithm, first.split.n_iterations, first.split.seed) == ("louvain", None, 0)
    inside = ad.read_zarr(made.url).obs["louvain_0.5_1"] == "0"
    assert second.split.cells == digest_array(CELLS[np.flatnonzero(inside)])


def test_a_label_that_several_columns_have_wants_its_column(tmp_path: Path) -> None:
    made = make_result(tmp_path, write_input(tmp_path, CELLS), {**SETTINGS, "resolutions": [0.5, 1.0]})
    said = wrong(made.url, "0_1")
    assert "leiden_0.5_2, leiden_1.0_2" in said
    assert "--column leiden_0.5_2" in said
    assert "leiden_0.5_1, leiden_1.0_1" in wrong(made.url, None)
    for column in ("leiden_0.5_2", "leiden_1.0_2"):
        found = explain(Place(made.url), "0_1", column=column)
        assert [level.column for level in found.levels] == [f"{column[:-1]}1", column]


def test_what_there_is_instead_of_what_is_not(made: Made, tmp_path: Path) -> None:
    assert "did you mean `leiden_0.5_2`?" in wrong(made.url, "0", "leiden_05_2")
    assert "it has leiden_0.5_1, leiden_0.5_2, leiden_0.5_3" in wrong(made.url, "0", "nothing like it")
    assert "came with the input" in wrong(made.url, "a", "donor")
    assert "there is no cluster '0'; it is in leiden_0.5_1" in wrong(made.url, "0", "leiden_0.5_2")
    assert "below 2 there is 2_0" in wrong(made.url, "2_9", "leiden_0.5_2")
    assert "below 0 there is 0_0, 0_1" in wrong(made.url, "0_9")
    assert "leiden_0.5_1 has 0, 1, 2" in wrong(made.url, "7")
    assert "no column has a cluster '1_2_3_4'; the columns are leiden_0.5_1" in wrong(made.url, "1_2_3_4")
    for place in (write_input(tmp_path, CELLS), made.url.removesuffix(".zarr") + "/labels.parquet"):
        assert "is no result of cellstrata" in wrong(place, "0")
    assert "there is no such file" in wrong(str(tmp_path / "absent.zarr"), "0")
    (tmp_path / "folder").mkdir()
    wrong(str(tmp_path / "folder"), "0")
    (tmp_path / "folder" / "clustering").mkdir()
    (tmp_path / "folder" / "clustering" / "output_files.tsv").touch()
    assert "is the output_dir of a run; name one of its results" in wrong(str(tmp_path / "folder"), "0")
    damaged = shutil.copytree(made.url, tmp_path / "damaged.zarr", symlinks=True)
    shutil.rmtree(damaged / "uns/clustering/tree/n_cells")
    assert "cannot be read" in wrong(str(damaged), "0")


def test_an_older_result_says_what_it_recorded(made: Made, tmp_path: Path) -> None:
    adata = ad.read_zarr(made.url)
    record = adata.uns["clustering"]
    record["tree"] = record["tree"].drop(columns=NEWER)
    facts = json.loads(record["columns"])
    for column in facts.values():
        column.pop("use_weights")
    record["columns"] = json.dumps(facts)
    adata.write_zarr(tmp_path / "older.zarr")
    new, old = (explain(Place(url), "0_1", column="leiden_0.5_2") for url in (made.url, str(tmp_path / "older.zarr")))
    for now, then in zip(new.levels, old.levels, strict=True):
        assert now.split is not None
        assert then.split is not None
        assert then.clusters == tuple(replace(cluster, stability=None) for cluster in now.clusters)
        assert then.split.key == now.split.key
        assert (then.split.resolution, then.split.modularity) == (now.split.resolution, now.split.modularity)
        unknown = {name for name, value in vars(then.split).items() if value is None}
        assert unknown == UNTOLD | {
            "n_iterations",
            "seed",
            "use_weights",
            "cells",
            "created",
            "from_cache",
            "runs",
            "agreement",
        }
    del record["tree"]
    adata.write_zarr(tmp_path / "treeless.zarr")
    assert "records no tree" in wrong(str(tmp_path / "treeless.zarr"), "0")


def test_columns_that_are_kept_came_with_the_input(made: Made, tmp_path: Path) -> None:
    kept = ad.read_zarr(made.url).obs[["leiden_0.5_1", "leiden_0.5_2"]]
    source = write_input(tmp_path, CELLS, **{name: kept[name].to_numpy() for name in kept})
    settings = {**SETTINGS, "overwrite": False}
    again = make_result(tmp_path, source, settings)
    theirs, ours = explain(Place(again.url), "0_1_0", column="leiden_0.5_3").levels
    assert (theirs.origin, theirs.column, theirs.cluster) == ("input", "leiden_0.5_2", "0_1")
    assert theirs.split is None
    assert (ours.origin, ours.column, ours.parent) == (
        explain(Place(made.url), "0_1_0", column="leiden_0.5_3").levels[2].origin, "leiden_0.5_3", "0_1",
    )  # fmt: skip
    assert "came with the input" in wrong(again.url, "0", "leiden_0.5_1")
    (level,) = explain(Place(again.url), None, column="leiden_0.5_3").levels
    assert (level.origin, level.column, len(level.clusters)) == ("input", "leiden_0.5_2", 9)
    assert "came with the input" in wrong(again.url, None)


def test_obs_that_was_changed_since_is_noticed(made: Made, tmp_path: Path) -> None:
    ad.read_zarr(made.url)[:100].copy().write_zarr(tmp_path / "part.zarr")
    found = explain(Place(str(tmp_path / "part.zarr")), "0")
    assert found.n_cells == explain(Place(made.url), "0").n_cells
    assert "has changed since" in found.notices[0]


def test_what_was_collected_is_explained_where_it_came_from(made: Made, tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS, donor=pd.Categorical(["a"] * len(CELLS)))
    fine = make_result(
        tmp_path, source, {**SETTINGS, "resolutions": [1.5], "hierarchy": {"levels": {**LEVEL_1, 2: 0.5}}}, "fine"
    )
    other = make_result(tmp_path, source, {**SETTINGS, "hierarchy": {"levels": {**LEVEL_1, 2: 1.0}}}, "other")
    shutil.copytree(made.url, tmp_path / "made.zarr")

    def collect(name: str, *urls: str) -> str:
        write_collected(collect_columns([Place(url) for url in urls]), Place(str(tmp_path / name)))
        return str(tmp_path / name)

    first = str(tmp_path / "made.zarr")
    both = collect("both.zarr", first, fine.url, other.url)
    assert (
        explain(Place(both), "0_1", column="leiden_0.5_2").levels
        == explain(Place(made.url), "0_1", column="leiden_0.5_2").levels
    )
    for url in (both, collect("twice.zarr", both, source)):
        found = explain(Place(url), "0_1", column="leiden_1.5_2")
        assert found == replace(explain(Place(fine.url), "0_1", column="leiden_1.5_2"), result=url)
        assert found.recorded_in == fine.url
    (renamed,) = [name for name in ad.read_zarr(both).obs if "@" in name]
    found = explain(Place(both), "0_1", column=renamed)
    assert (found.column, found.recorded_in, found.levels[1].column) == (renamed, other.url, "leiden_0.5_2")
    assert found.notices == ()

    foreign = collect("foreign.zarr", source, fine.url)
    assert explain(Place(foreign), "0_1").recorded_in == fine.url
    assert "it made leiden_1.5_1" in wrong(foreign, "a", "donor")
    shutil.rmtree(fine.url)
    assert (
        explain(Place(both), "0_1", column="leiden_0.5_2").levels
        == explain(Place(made.url), "0_1", column="leiden_0.5_2").levels
    )
    assert "there is no such file" in wrong(both, "0_1", "leiden_1.5_2")
    assert "collected from a result that cannot be read" in wrong(foreign, "0_1")
    make_result(
        tmp_path, source, {**SETTINGS, "resolutions": [1.5], "hierarchy": {"levels": {**LEVEL_1, 2: 1.0}}}, "fine"
    )
    assert "has changed since" in explain(Place(foreign), "0_1", column="leiden_1.5_2").notices[0]
