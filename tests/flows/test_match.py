"""Ids that stay: real runs whose clusters are numbered after an earlier result, also the one that they replace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cellstrata.configs import RunConfig
from cellstrata.configs.errors import ConfigError
from cellstrata.flows.deployment import parameter_of
from cellstrata.flows.preparation import UnusableInputs
from cellstrata.tasks.inputs.expansion import expand
from cellstrata.tasks.results.explain import explain
from cellstrata.tasks.stores.places import Place
from tests.flows.conftest import Run
from tests.flows.outputs import labels, tree_of
from tests.tasks.matching.atlas import FIRST, HIERARCHY, SECOND, atlas, without_most_of_the_largest
from tests.tasks.report.reports import parsed

HOW: dict[str, Any] = {
    "resolutions": [0.1], "hierarchy": HIERARCHY, "neighbors": {"use_rep": "X_latent", "n_neighbors": 30},
    "recompute_neighbors": True, "markers": True,
}  # fmt: skip
OF_IDS = ["was", "overlap", "new", "split_from", "merged_from"]


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return atlas()


def contents(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def later(cells: ad.AnnData, folder: Path, *, drop: float, add: float, seed: int = 3) -> Path:
    """Write the cells in another order, a share of them left out, and a share of cells near others added."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(cells.n_obs)[: round(cells.n_obs * (1 - drop))]
    more = rng.choice(cells.n_obs, round(cells.n_obs * add), replace=False)
    part, near = cells[rows].copy(), cells[more].copy()
    near.obs_names = [f"new {name}" for name in near.obs_names]
    near.obsm["X_latent"] = near.obsm["X_latent"] + rng.normal(0, 0.05, near.obsm["X_latent"].shape).astype(np.float32)
    ad.concat([part, near]).write_h5ad(folder / "later.h5ad")
    return folder / "later.h5ad"


def test_cells_come_and_go_and_all_ids_stay(one: Run, cells: ad.AnnData, tmp_path: Path) -> None:
    """A week later, 1 % of the cells added, 1 % removed, another seed, the result is the one that is replaced."""
    cells.write_h5ad(tmp_path / "first.h5ad")
    first = one(tmp_path / "first.h5ad", HOW, figures=False, report=False)
    before, colors = labels(first), ad.read_zarr(first["output"]).uns
    path = later(cells, tmp_path, drop=0.01, add=0.01)
    again = one(path, {**HOW, "seed": 5, "match": str(tmp_path / "out")}, figures=False, report=False)
    assert again["output"] == first["output"]
    after = labels(again)
    shared = after.index[after.index.isin(before.index)]
    assert len(shared) == round(0.99 * cells.n_obs)
    assert set(before[SECOND]) == {f"{group}_{part}" for group in "0123" for part in "01"}
    for column in (FIRST, SECOND):
        assert (before.loc[shared, column] == after.loc[shared, column]).mean() > 0.999, column
        assert set(before[column]) == set(after[column])
    tree = tree_of(again).query("level > 0")
    assert not tree["new"].any()
    assert (tree["overlap"] > 0.98).all()
    now = ad.read_zarr(again["output"]).uns
    assert list(now[f"{FIRST}_colors"]) == list(colors[f"{FIRST}_colors"])
    said = json.loads(now["clustering"]["match"])
    assert said["cells"] == {"shared": len(shared), "only_here": 4, "only_there": 4}
    assert said["retired"] == {}
    assert said["publish_key"] == colors["clustering"]["publish_key"]


def test_all_that_a_run_writes_has_the_ids_of_the_earlier_result(one: Run, cells: ad.AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "first.h5ad")
    first = one(tmp_path / "first.h5ad", HOW, out="first", figures=False, report=False)
    there, earlier = contents(first["output"]), ad.read_zarr(first["output"])
    path = tmp_path / "later.h5ad"
    without_most_of_the_largest(cells).write_h5ad(path)
    plain = one(path, HOW, out="plain", figures=False, report=False)
    asked = {**HOW, "match": first["output"]}
    second = one(path, asked, out="second", figures=False, report=True)
    assert contents(first["output"]) == there, "the earlier result is only read"
    assert second["splits"]["executed"] == 0, "nothing is split anew"

    adata, by_size = ad.read_zarr(second["output"]), ad.read_zarr(plain["output"])
    for column in (FIRST, SECOND):
        assert (adata.obs[column].astype(str) == earlier.obs[column].astype(str)[adata.obs_names]).all()
        assert (adata.obs[column].astype(str) != by_size.obs[column].astype(str)).any()
        categories = list(adata.obs[column].cat.categories)
        assert categories == sorted(categories)
        assert list(adata.uns[f"{column}_colors"]) == list(earlier.uns[f"{column}_colors"])
    pd.testing.assert_frame_equal(labels(second), adata.obs[list(second["columns"])].astype(str), check_names=False)

    tree, plainly = tree_of(second), tree_of(plain)
    assert list(tree.columns) == [*plainly.columns, *OF_IDS]
    for column in second["columns"]:
        rows = tree[tree["column"].eq(column) & tree["level"].gt(0)]
        sizes = adata.obs[column].value_counts()
        assert dict(zip(rows["cluster"], rows["n_cells"], strict=True)) == sizes.to_dict()
        assert (rows["cluster"].str.rpartition("_")[0] == rows["parent"]).all()
        assert list(rows["cluster"]) == list(adata.obs[column].cat.categories)
    keys = [frame[["key", "n_cells", "modularity"]].sort_values(["key", "n_cells"]) for frame in (tree, plainly)]
    pd.testing.assert_frame_equal(*(each.reset_index(drop=True) for each in keys))

    markers = [pq.read_table(report["markers"]).to_pandas() for report in (second, plain)]
    names = dict(zip(by_size.obs[SECOND].astype(str), adata.obs[SECOND].astype(str), strict=True))
    of_second = [table[table["column"] == SECOND].astype({"cluster": str}) for table in markers]
    for own, other in names.items():
        mine, theirs = (of_second[at].query("cluster == @label") for at, label in ((0, other), (1, own)))
        assert list(mine["gene"]) == list(theirs["gene"])
    (shown,) = parsed(Path(second["report"]).read_text()).facts["trees"]
    rows = tree[tree["level"] > 0]
    assert dict(zip(shown["label"], shown["cells"], strict=True)) == dict(
        zip(rows["cluster"], rows["n_cells"], strict=True)
    )

    kin = explain(Place(second["output"]), "1_0", column=SECOND).levels[-1].own
    assert kin is not None
    assert kin.kin is not None
    assert (kin.kin.was, kin.kin.new) == ("1_0", False)
    again = one(path, asked, out="second", figures=False, report=True)
    assert (again["written"], again["report_written"]) == (False, False)


def test_what_does_not_ask_for_it_says_nothing_of_it(one: Run, cells: ad.AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "first.h5ad")
    record = ad.read_zarr(one(tmp_path / "first.h5ad", HOW, figures=False, report=False)["output"]).uns["clustering"]
    assert "match" not in record
    assert "match" not in json.loads(record["configuration"])["clustering"]
    assert not set(OF_IDS) & set(record["tree"])


def test_what_cannot_be_matched_is_refused_before_any_work(one: Run, cells: ad.AnnData, tmp_path: Path) -> None:
    cells.write_h5ad(tmp_path / "first.h5ad")
    asked = {**HOW, "markers": False}
    first = one(tmp_path / "first.h5ad", asked, figures=False, report=False)
    other = cells.copy()
    other.obs_names = [f"other {name}" for name in other.obs_names]
    other.write_h5ad(tmp_path / "other.h5ad")
    elsewhere = {"figures": False, "report": False, "out": "elsewhere"}
    for data, settings, words in (
        ("first", {"match": str(tmp_path / "nowhere")}, ["d/f: match: ", "nowhere"]),
        ("first", {"match": str(tmp_path / "first.h5ad")}, ["match: ", "is no result of cellstrata"]),
        ("first", {"match": first["output"], "resolutions": [3]}, ["none of the columns", "leiden_3.0_1", FIRST]),
        ("other", {"match": first["output"]}, ["shares no cell by name", "'other c0' and 'c0'"]),
        ("first", {"match": str(tmp_path / "out")}, []),
    ):
        if not words:
            one(tmp_path / f"{data}.h5ad", asked | settings, **elsewhere)
            continue
        with pytest.raises(UnusableInputs) as error:
            one(tmp_path / f"{data}.h5ad", asked | settings, **elsewhere)
        for word in words:
            assert word in str(error.value)
        assert not (tmp_path / "elsewhere").exists()
    report = one(
        tmp_path / "first.h5ad",
        asked | {"match": first["output"], "hierarchy": {"levels": {2: 0.1, 3: {}}}},
        **elsewhere,
    )
    assert f"{first['output']} has no leiden_0.1_3: its clusters are numbered by size" in report["notices"]


def test_a_folder_of_results_has_to_have_that_of_the_dataset(one: Run, blobs: Path, tmp_path: Path) -> None:
    asked = {"neighbors": {"use_rep": "X_latent"}, "recompute_neighbors": True}
    (tmp_path / "results" / "clustering").mkdir(parents=True)
    with pytest.raises(UnusableInputs, match="has no result of d/f"):
        one(blobs, {**asked, "match": str(tmp_path / "results")}, figures=False, report=False)


def test_ids_of_a_hierarchy_cannot_be_those_of_a_match(tmp_path: Path) -> None:
    clustering = {"algorithm": "leiden", "resolutions": [0.5], "match": "earlier.zarr"}

    def config(**more: Any) -> RunConfig:
        datasets = {"d": {"input": {"clustering": "in.h5ad"}, "clustering": clustering | more}}
        return RunConfig(output_dir=str(tmp_path), DATASETS=datasets)

    for hierarchy in ({3: 0.1}, {"levels": {2: 0.1}, "clusters": {"leiden_0.5:3": False}}):
        with pytest.raises(ConfigError, match="names clusters by their ids"):
            config(hierarchy=hierarchy)
    with pytest.raises(ConfigError, match="a path or URL of an earlier result"):
        config(match=3)
    stored: Any = parameter_of(config(hierarchy={"levels": {2: 0.1}}))
    assert stored["DATASETS"]["d"]["clustering"]["match"] == str(Path("earlier.zarr").absolute())
    secret = config(match="s3://key:secret@bucket/earlier.zarr")
    assert "secret" not in secret.model_dump_json()
    expanded, _ = expand(secret)
    assert expanded.DATASETS["d"].clustering.match == "s3://bucket/earlier.zarr"
