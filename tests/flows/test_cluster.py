"""The flow, run for real on real files: columns, caching, runners, failures, what Prefect records."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.results.explain import explain
from cellstrata.tasks.stores.places import Place
from tests.flows.conftest import Run

LATENT = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 3, "resolutions": [0.2, 1.0]}
SMALL = {"grain": 300}  # so that 2,400 cells make many tasks


def labels(report: dict[str, Any]) -> pd.DataFrame:
    return pd.read_parquet(report["labels"])


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return labels(first).astype(str).equals(labels(second).astype(str))


def test_the_three_documented_examples(run: Run, pbmc: Path, tmp_path: Path) -> None:
    import yaml

    from cellstrata.flows.commands.demo import write_demo

    shutil.copy(pbmc, tmp_path / pbmc.name)
    config = yaml.safe_load(Path(write_demo(str(tmp_path))).read_text())
    for dataset in config["DATASETS"].values():
        dataset["clustering"]["ensemble"] = 1  # as the ancestor, whose examples they are
    first = run(cache=str(tmp_path / "cache"), **config)["datasets"]
    by_dataset = {name.split("/")[0]: report for name, report in first.items()}
    assert by_dataset["test_level1_multiresolution"]["columns"] == [f"leiden_{r}_1" for r in (0.2, 0.3, 0.4)]
    assert by_dataset["test_hierarchical"]["columns"] == ["leiden_0.5_1", "leiden_0.5_2"]
    assert by_dataset["test_hierarchical_int"]["columns"] == [f"leiden_0.5_{level}" for level in (1, 2, 3)]

    # At 0.1 and 0.2 these two clusters are one community each, for scanpy as well; they are tried.
    tree = anndata.read_zarr(by_dataset["test_hierarchical"]["output"]).uns["clustering"]["tree"]
    level1 = tree[tree["level"] == 1].set_index("cluster")
    assert level1.loc[["1", "3"], "resolution"].tolist() == [0.1, 0.2]
    assert set(level1.loc[["1", "3"], "reason"]) == {"one community"}
    assert set(level1.drop(["1", "3"])["reason"]) == {"not asked for"}
    chosen = labels(by_dataset["test_hierarchical"]).astype(str)
    assert (chosen["leiden_0.5_2"] == chosen["leiden_0.5_1"] + "_0").all()

    finer = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": {1: 0.5, 3: 1.0}, "ensemble": 1}
    data = {"input": {"clustering": {"f": str(tmp_path / pbmc.name)}}, "clustering": finer}
    report = run(cache=str(tmp_path / "cache"), output_dir=str(tmp_path / "finer"), DATASETS={"d": data})["datasets"][
        "d/f"
    ]
    children = labels(report).astype(str).groupby("leiden_0.5_1")["leiden_0.5_2"].nunique()
    assert {cluster for cluster, found in children.items() if found > 1} == {"1", "3"}

    again = run(cache=str(tmp_path / "cache"), **config)["datasets"]
    for name, report in again.items():
        assert report["splits"]["executed"] == 0
        assert not report["written"]
        assert same(report, first[name])


def test_result_holds_the_input_and_the_new_elements(one: Run, pbmc: Path) -> None:
    settings = {
        "recompute_neighbors": True,
        "recompute_umap": True,
        "neighbors": {"n_neighbors": 10},
        "hierarchy": 2,
    }
    report = one(pbmc, settings)
    before, after = anndata.read_h5ad(pbmc), anndata.read_zarr(report["output"])
    pd.testing.assert_frame_equal(after.obs[before.obs.columns], before.obs)
    assert list(after.obs.columns) == [*before.obs.columns, "leiden_0.5_1", "leiden_0.5_2"]
    assert after.obs["leiden_0.5_2"].dtype == "category"
    np.testing.assert_array_equal(after.obsm["X_pca"], before.obsm["X_pca"])
    assert not np.array_equal(after.obsm["X_umap"], before.obsm["X_umap"])
    graph = after.obsp["connectivities"]
    assert abs(graph - graph.T).max() == 0
    assert np.diff(after.obsp["distances"].indptr).tolist() == [9] * after.n_obs
    assert after.uns["neighbors"]["params"]["n_neighbors"] == 10

    record = after.uns["clustering"]
    tree = record["tree"]
    assert set(tree["column"]) == {"leiden_0.5_1", "leiden_0.5_2"}
    level1 = tree[(tree["column"] == "leiden_0.5_1") & (tree["cluster"] != "all")]
    assert level1["n_cells"].sum() == after.n_obs
    assert (level1["reason"] == "").any()
    assert set(tree.loc[tree["level"] == 2, "reason"]) == {"last level"}
    assert json.loads(record["columns"])["leiden_0.5_1"]["resolutions_used"] == [0.5]
    assert json.loads(record["configuration"])["clustering"]["recompute_umap"] is True
    assert json.loads(record["versions"])["igraph"]


def test_runners_workers_and_grain_do_not_change_labels_or_counts(one: Run, blobs: Path) -> None:
    settings = LATENT
    variants = [
        {"runner": "threads", "workers": 1},
        {"runner": "threads", "workers": 3, **SMALL},
        {"runner": "processes", "workers": 2, **SMALL},
        {"runner": "processes", "workers": 1, "grain": 100},
    ]
    reports = [
        one(blobs, settings, out=f"out{i}", cache=f"{blobs.parent}/cache{i}", **variant)
        for i, variant in enumerate(variants)
    ]
    for other in reports[1:]:
        assert same(reports[0], other)
        assert other["splits"] == reports[0]["splits"]
    assert reports[0]["splits"]["executed"] > 20


def test_only_what_changed_is_computed(one: Run, blobs: Path, tmp_path: Path) -> None:
    first = one(blobs, LATENT, **SMALL)
    executed, nodes = first["splits"]["executed"], sum(first["splits"].values())

    renamed = tmp_path / "renamed.h5ad"
    adata = anndata.read_h5ad(blobs)
    adata.obs["added"] = 1.5
    adata.write_h5ad(renamed)
    again = one(renamed, LATENT, out="other", runner="threads", workers=1, grain=1000)
    assert again["splits"] == {"executed": 0, "cached": nodes}

    added = one(blobs, LATENT | {"resolutions": [0.2, 0.6, 1.0]}, **SMALL)
    assert added["splits"]["cached"] >= nodes
    assert added["splits"]["executed"] > 0
    assert added["columns"] == [f"leiden_{r}_{level}" for r in (0.2, 0.6, 1.0) for level in (1, 2, 3)]

    apart = {"cache": str(tmp_path / "apart"), **SMALL}
    shallow = one(blobs, LATENT | {"hierarchy": 1}, **apart)
    deeper = one(blobs, LATENT | {"hierarchy": 2}, **apart)
    tree = anndata.read_zarr(deeper["output"]).uns["clustering"]["tree"]
    new = set(tree.loc[tree["level"] == 1, "key"]) - {""}
    assert deeper["splits"] == {"executed": len(new), "cached": shallow["splits"]["executed"]}
    assert len(new) > 5

    one_cluster = {"levels": {3: {}}, "clusters": {"0": {"resolution": 1.7}}}
    changed = one(blobs, LATENT | {"hierarchy": one_cluster, "resolutions": 1.0}, **SMALL)
    tree = anndata.read_zarr(changed["output"]).uns["clustering"]["tree"]
    below = tree["cluster"].str.split("_").str[0] == "0"
    assert changed["splits"]["executed"] <= int((below & (tree["key"] != "")).sum())

    adata.obsm["X_latent"][5, 3] += 1e-3
    touched = tmp_path / "touched.h5ad"
    adata.write_h5ad(touched)
    recomputed = one(touched, LATENT, out="touched", **SMALL)
    assert recomputed["splits"]["executed"] > 0

    refreshed = one(blobs, LATENT, refresh=True, **SMALL)
    assert refreshed["splits"]["executed"] >= executed
    assert sum(refreshed["splits"].values()) == nodes
    assert same(first, refreshed)


def test_damaged_cache_is_computed_again_and_never_unpickled(one: Run, blobs: Path, tmp_path: Path) -> None:
    import pickle

    from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
    from prefect.serializers import PickleSerializer
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

    first = one(blobs, LATENT, **SMALL)
    marker = tmp_path / "executed"

    class Planted:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(marker),)

    def asks_for_pickle(key: str) -> bytes:
        """Return a result record of Prefect's own, whose metadata ask for unpickling."""
        metadata = ResultRecordMetadata(storage_key=key, serializer=PickleSerializer())
        record: ResultRecord[Any] = ResultRecord(metadata=metadata, result=Planted())
        return record.serialize()

    own = PREFECT_LOCAL_STORAGE_PATH.value()
    own.mkdir(parents=True, exist_ok=True)
    records = sorted((tmp_path / "cache" / "v1" / "records").rglob("*.json"))
    for number, path in enumerate(records[::3]):
        path.write_bytes(pickle.dumps(Planted()) if number % 2 else asks_for_pickle(path.stem))
    for path in records:
        (own / path.stem).write_bytes(asks_for_pickle(path.stem))
    for path in records[1::3]:
        path.write_text(path.read_text()[:-40])
    chunks = sorted((tmp_path / "cache" / "v1" / "arrays").rglob("c/*"))
    for path in chunks[::5]:
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    again = one(blobs, LATENT, out="again", **SMALL)
    assert same(first, again)
    assert again["splits"]["executed"] > 0
    assert not marker.exists()
    ResultRecord.deserialize(asks_for_pickle("any"))
    assert marker.exists(), "the trap works"


def test_a_missing_pca_is_computed_and_said(one: Run, pbmc: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(pbmc)
    del adata.obsm["X_pca"]
    path = tmp_path / "no_pca.h5ad"
    adata.write_h5ad(path)
    report = one(path, {"recompute_neighbors": True, "neighbors": {"use_rep": "X_pca", "n_pcs": 20}})
    assert any("PCA" in notice for notice in report["notices"])
    assert report["clusters"]["leiden_0.5_1"] > 3


def test_leidenalg_and_louvain(one: Run, pbmc: Path) -> None:
    both = one(pbmc, {"algorithm": ["leiden", "louvain"], "resolutions": [0.3, 1.5]})
    assert both["columns"] == ["leiden_0.3_1", "leiden_1.5_1", "louvain_0.3_1", "louvain_1.5_1"]
    assert both["clusters"]["louvain_0.3_1"] < both["clusters"]["louvain_1.5_1"]
    reference = one(pbmc, {"engine": "leidenalg", "n_iterations": -1, "resolutions": [0.3]}, out="reference")
    assert reference["modularity"]["leiden_0.3_1"] == pytest.approx(both["modularity"]["leiden_0.3_1"], rel=0.05)


def test_named_clusters_that_do_not_exist_are_said(one: Run, pbmc: Path) -> None:
    report = one(pbmc, {"hierarchy": {"clusters": {"77": 0.3, "0": 0.5}}})
    assert any("77" in notice for notice in report["notices"])


def test_a_cluster_that_is_named_in_one_column_is_split_there_alone(one: Run, pbmc: Path) -> None:
    settings = {"resolutions": [0.5, 1.0], "hierarchy": {"clusters": {"leiden_0.5:0": 1.0, "leiden_1.0:77": 0.5}}}
    report = one(pbmc, settings)
    found = labels(report).astype(str)
    for column, split in (("leiden_0.5", {"0"}), ("leiden_1.0", set())):
        children = found.groupby(f"{column}_1")[f"{column}_2"].nunique()
        assert {cluster for cluster, n in children.items() if n > 1} == split
    assert report["splits"]["executed"] == 3
    (said,) = [notice for notice in report["notices"] if "the hierarchy names" in notice]
    assert said.startswith("leiden 1.0: the hierarchy names 77")
    explained = explain(Place(report["output"]), "leiden_0.5:0")
    assert (explained.column, explained.cluster) == ("leiden_0.5_1", "0")
    assert explained.n_children > 1
    assert explain(Place(report["output"]), "leiden_1.0:0").n_children == 1
    child = explain(Place(report["output"]), "leiden_0.5:0_1")
    assert (child.column, child.cluster) == ("leiden_0.5_2", "0_1")
    with pytest.raises(InputError, match="there is no such column"):
        explain(Place(report["output"]), "leiden_0.6:0")


def test_one_failing_dataset_leaves_the_others(
    run: Run, pbmc: Path, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cellstrata.tasks.trees.split as module

    real = module.partition

    def failing(graph: Any, *rest: Any) -> Any:
        if graph.n_vertices == 2400:
            raise MemoryError("no more memory")
        return real(graph, *rest)

    monkeypatch.setattr(module, "partition", failing)
    settings = {"algorithm": "leiden", "resolutions": [0.5]}
    good = {"input": {"clustering": {"f": str(pbmc)}}, "clustering": settings}
    bad = {
        "input": {"clustering": {"f": str(blobs)}},
        "clustering": settings | {"neighbors": {"use_rep": "X_latent"}},
    }
    config = {"output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    reports = run(DATASETS={"good": good, "bad": bad}, **config)["datasets"]
    assert "error" not in reports["good/f"]
    assert "no more memory" in reports["bad/f"]["error"]
    assert "2,400 cells" in reports["bad/f"]["error"]
    assert not list(tmp_path.glob("out/clustering/dataset~bad/*.zarr"))
    monkeypatch.undo()
    reports = run(DATASETS={"good": good, "bad": bad}, **config)["datasets"]
    assert reports["good/f"]["splits"]["executed"] == 0
    assert reports["bad/f"]["splits"]["executed"] == 1


def test_wrong_inputs_are_reported_together_before_any_work(run: Run, blobs: Path, tmp_path: Path) -> None:
    from cellstrata.flows.preparation import UnusableInputs

    settings = {"algorithm": "leiden", "resolutions": [0.5]}
    datasets = {
        "a": {"input": {"clustering": {"f": str(tmp_path / "none.h5ad")}}, "clustering": settings},
        "b": {"input": {"clustering": {"f": str(blobs)}}, "clustering": settings | {"umap_colors": ["grop"]}},
    }
    with pytest.raises(UnusableInputs) as caught:
        run(DATASETS=datasets, output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"))
    assert "none.h5ad" in str(caught.value)
    assert "did you mean `group`" in str(caught.value)
    assert "X_latent" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_prefect_records_names_states_and_keys(one: Run, blobs: Path, tmp_path: Path) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterName
    from prefect.client.schemas.objects import FlowRun, TaskRun
    from prefect.client.schemas.sorting import FlowRunSort

    async def recorded(expected: set[str], at_least: int) -> tuple[FlowRun, list[TaskRun]]:
        named = FlowRunFilter(name=FlowRunFilterName(any_=["d/f"]))
        async with get_client() as client:
            until = time.monotonic() + 200  # they arrive in batches, late on a busy machine
            while time.monotonic() < until:
                # by the end: what other tests have scheduled for tomorrow has the latest start
                (run,) = await client.read_flow_runs(flow_run_filter=named, sort=FlowRunSort.END_TIME_DESC, limit=1)
                own = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
                tasks = await client.read_task_runs(flow_run_filter=own, limit=200)
                splits = [task for task in tasks if task.task_key.startswith("split")]
                ended = [task for task in splits if task.state and task.state.is_final()]
                keys, names = {task.cache_key for task in ended}, {task.name for task in ended}
                if len(keys) >= at_least and expected <= names:
                    return run, ended
                await asyncio.sleep(0.5)
        raise AssertionError(f"not recorded for {run.name}: {[(task.name, task.state_name) for task in tasks]}")

    one(blobs, LATENT, **SMALL)
    whole = {f"d/f · leiden {resolution} · all · 2,400 cells" for resolution in (0.2, 1.0)}
    run, splits = asyncio.run(recorded(whole, 6))
    assert {"dataset:d", "runner:threads"} <= set(run.tags)
    assert {task.state_name for task in splits} == {"Completed"}
    records = {path.stem for path in (tmp_path / "cache/v1/records").rglob("*.json")}
    assert {task.cache_key for task in splits} <= records

    one(blobs, LATENT, **SMALL)
    _, found = asyncio.run(recorded({"d/f · 2 pieces from the cache · 4,800 cells"}, 2))
    assert {task.state_name for task in found} == {"Cached"}
    assert len(found) <= 2 * 3, "what the cache has of a level goes together"


def test_zarr_input_is_linked_and_left_alone(one: Run, pbmc: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.zarr"
    anndata.read_h5ad(pbmc).write_zarr(source)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    report = one(source, {"hierarchy": 2})
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before
    output = Path(report["output"])
    assert (output / "X").is_symlink()
    assert not (output / "X").readlink().is_absolute()
    assert "leiden_0.5_2" in anndata.read_zarr(output).obs
