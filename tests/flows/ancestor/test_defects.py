"""A test for each known defect of the ancestor's clustering (its description, section C, 1 to 26).

Each fails on what the ancestor does; those about figures are in `test_ancestor_figures.py`. Not here, since
what they are about is not in this version, and the README says so: C18, C19 and C20 (GPU). C24, a test
that skips every file, is answered by this suite as a whole.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.configs import ClusteringConfig
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.trees.placement import choose
from cellstrata.tasks.trees.umap import ComputedUmap
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import assert_kept, assert_same, load, save, saved, tree_hash
from tests.tasks.small import blobs, graph_of

GROUPS = [120, 100, 80]


def planted(seed: int = 0, **uns: Any) -> ad.AnnData:
    """Three groups in `X_scvi`; `X_pca` holds noise; the graph is of `X_scvi`."""
    cells, of = blobs(GROUPS, seed=seed)
    adata = ad.AnnData(obs=pd.DataFrame({"group": pd.Categorical(of.astype(str))}, index=[f"c{i}" for i in range(300)]))
    adata.obsm["X_pca"] = np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32)
    adata.obsm["X_scvi"] = cells
    adata.obsp["connectivities"] = graph_of(cells).to_csr()
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 10, **uns}}
    return adata


def only(path: str) -> pd.Series:
    obs = load(path).obs
    assert obs.shape[1] == 1
    return obs.iloc[:, 0]


def same_groups(labels: pd.Series, groups: pd.Series) -> bool:
    return pd.crosstab(labels.to_numpy(), groups.to_numpy()).gt(0).sum().eq(1).all() and labels.nunique() == 3


def facts(path: str) -> dict[str, Any]:
    return dict(json.loads(load(path).uns["clustering"]["columns"]))


def test_each_defect_is_tested_or_named_above() -> None:
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tested = re.findall(r"^def test_c(\d\d)_", text, re.MULTILINE)
    assert {*map(int, tested), *map(int, re.findall(r"\bC(\d\d)\b", __doc__ or ""))} == {*range(1, 36)}


def test_c01_louvain_honours_resolution_seed_and_weights(forms: dict[str, Path], cluster: Cluster) -> None:
    found = []
    for resolution in (0.1, 1.0, 5.0):
        cluster(forms["zarr"], "out.zarr", "--algorithm", "louvain", "--resolution", resolution, "--overwrite")
        found.append(only("out.zarr"))
    counts = [labels.nunique() for labels in found]
    assert counts[0] < counts[1] < counts[2]
    differing = []
    for arguments in ({"seed": 5}, {"use_weights": False}):
        cluster(
            forms["zarr"], "a.zarr", "--algorithm", "louvain", "--clustering_args", json.dumps(arguments), "--overwrite"
        )
        differing.append(only("a.zarr"))
    assert all(not labels.equals(found[1]) for labels in differing)


def test_c02_a_flavor_is_an_engine_wherever_a_gpu_may_be_used(forms: dict[str, Path], cluster: Cluster) -> None:
    args = ["--clustering_args", '{"flavor": "leidenalg", "n_iterations": 3}', "--n_cell_cpu", 1]
    assert cluster(forms["zarr"], "out.zarr", *args)[0] == 0  # under `use_gpu: true`
    assert facts("out.zarr")["leiden_1.0_1"]["engine"] == "leidenalg"
    device = GpuStatus("", "a GPU")
    assert {choose(wish, 10**6, 1, device, "igraph").engine for wish in ("cpu", "auto", "required")} == {"igraph"}


def test_c03_neighbors_key_other_than_neighbors(cluster: Cluster, one: Run, tmp_path: Path) -> None:
    adata = planted()
    adata.uns["scvi"] = {
        "connectivities_key": "scvi_connectivities",
        "params": {"n_neighbors": 10, "use_rep": "X_scvi"},
    }
    adata.obsp["scvi_connectivities"] = adata.obsp.pop("connectivities")
    del adata.uns["neighbors"]
    path = save(adata, tmp_path, "zarr3")
    assert cluster(path, "l1.zarr", "--neighbors_key", "scvi", "--resolution", 0.1)[0] == 0
    assert same_groups(only("l1.zarr"), adata.obs["group"])
    assert cluster("l1.zarr", "l2.zarr", "--neighbors_key", "scvi", "--level", 2, "--resolution", 0.1)[0] == 0
    assert set(load("l2.zarr").uns["clustering"]["tree"]["embedding"]) == {"", "X_scvi"}

    # With recompute_neighbors the new graph is clustered, and stands where the old one was.
    report = one(
        Path(path), {"neighbors_key": "scvi", "recompute_neighbors": True, "neighbors": {"use_rep": "X_pca"}}, "again"
    )
    new = load(report["output"])
    assert not same_groups(new.obs["leiden_0.5_1"], adata.obs["group"])
    assert new.uns["scvi"]["params"]["use_rep"] == "X_pca"
    assert (new.obsp["scvi_connectivities"] != adata.obsp["scvi_connectivities"]).nnz


def test_c04_the_parameters_really_used_are_recorded(one: Run, pbmc: Path) -> None:
    settings = {"resolutions": [0.5, 1.0], "hierarchy": {"levels": {1: 0.1, 2: {"seed": 7}}}}
    report = one(pbmc, settings, workers=1)  # two would split level 1 at the same time, each with all below it
    assert report["splits"]["cached"] == 1  # level 1 at 0.1, of both resolutions
    record = load(report["output"]).uns["clustering"]
    said = json.loads(record["columns"])
    assert [said[name]["resolutions_used"] for name in ("leiden_0.5_1", "leiden_1.0_1")] == [[0.1], [0.1]]
    assert said["leiden_1.0_2"]["resolutions_used"] == [1.0]
    assert {"engine", "engine_reason", "seed", "n_iterations"} <= set(said["leiden_0.5_1"])
    assert set(record["tree"].query("n_neighbors > 0")["resolution"]) == {0.5, 1.0}


def test_c05_the_machine_does_not_choose_the_parameters(forms: dict[str, Path], cluster: Cluster, one: Run) -> None:
    assert cluster(forms["zarr"], "out.zarr")[0] == 0  # use_gpu: true, below and above n_cell_cpu
    assert cluster(forms["zarr"], "above.zarr", "--n_cell_cpu", 1)[0] == 0
    report = one(forms["zarr"], {"resolutions": [1.0], "use_gpu": False})
    assert report["splits"] == {"executed": 0, "cached": 1}
    assert only("out.zarr").equals(only("above.zarr"))
    assert facts("out.zarr")["leiden_1.0_1"]["n_iterations"] == 2


def test_c06_the_result_has_the_graph_that_was_clustered(one: Run, tmp_path: Path) -> None:
    adata = planted()
    path = save(adata, tmp_path, "h5ad")
    new = load(one(Path(path), {"recompute_neighbors": True, "neighbors": {"use_rep": "X_pca"}})["output"])
    assert (new.obsp["connectivities"] != adata.obsp["connectivities"]).nnz
    assert new.uns["neighbors"]["params"]["use_rep"] == "X_pca"
    assert {"connectivities", "distances"} == set(new.obsp)


@pytest.mark.parametrize("form", ["h5ad", "zarr2"])
def test_c07_a_new_umap_replaces_nothing_else(
    form: str, one: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(cache: Any, *_: Any) -> ComputedUmap:  # what is drawn does not matter here
        return ComputedUmap(coordinates=cache.put(np.ones((60, 2), np.float32)), n_cells=60, seconds=0.0, fallback=None)

    monkeypatch.setattr("cellstrata.flows.dataset.compute_umap", drawn)
    path = saved(tmp_path, form)
    report = one(Path(path), {"recompute_umap": True, "neighbors": {"metric": "cosine", "use_rep": "X_pca"}})
    added = {"obs": ["leiden_0.5_1"], "obsm": ["X_umap"], "uns": ["clustering"]}
    assert_kept(load(path), load(report["output"]), added)


@pytest.mark.parametrize("form", ["h5ad", "zarr3"])
def test_c08_columns_that_are_not_ours_stay_as_they_are(form: str, one: Run, tmp_path: Path) -> None:
    path = saved(tmp_path, form)  # '001', gaps, nullable, mixed: all kinds of columns
    new = load(one(Path(path), {"hierarchy": 2})["output"])
    old = load(path)
    assert_same(old.obs, new.obs[list(old.obs.columns)], "obs")
    assert list(new.obs["code"].cat.categories) == ["1", "001", "01", "unused"]


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        ("leiden", {"random_state": 3, "use_weights": False, "n_iterations": 4}),
        ("louvain", {"n_iterations": 5, "seed": 1}),
    ],
)
def test_c09_arguments_hold_at_every_level(
    algorithm: str, arguments: dict[str, Any], forms: dict[str, Path], cluster: Cluster
) -> None:
    args = ["--algorithm", algorithm, "--clustering_args", json.dumps(arguments)]
    assert cluster(forms["zarr"], "l1.zarr", *args)[0] == 0
    assert cluster("l1.zarr", "l2.zarr", "--level", 2, *args)[0] == 0
    said = facts("l2.zarr")[f"{algorithm}_1.0_2"]
    assert said["seed"] == arguments.get("random_state", arguments.get("seed"))
    assert said["n_iterations"] == (arguments["n_iterations"] if algorithm == "leiden" else None)


def test_c10_deeper_levels_use_the_embedding_of_the_graph(one: Run, tmp_path: Path) -> None:
    path = save(planted(use_rep="X_scvi"), tmp_path, "h5ad")
    tree = load(one(Path(path), {"hierarchy": 2})["output"]).uns["clustering"]["tree"]
    assert set(tree["embedding"]) == {"", "X_scvi"}


def test_c11_overwrite_false_holds_at_every_level(one: Run, tmp_path: Path) -> None:
    adata = planted(use_rep="X_scvi")
    adata.obs["leiden_0.5_1"] = pd.Categorical(np.where(np.arange(300) < 200, "0", "1"))
    adata.obs["leiden_0.5_2"] = pd.Categorical(np.where(np.arange(300) < 100, "0_0", "0_1"))
    adata.obs.loc[adata.obs_names[200:], "leiden_0.5_2"] = "0_1"
    path = save(adata, tmp_path, "h5ad")
    new = load(one(Path(path), {"hierarchy": 3, "overwrite": False})["output"])
    assert_same(adata.obs, new.obs[list(adata.obs.columns)], "obs")
    assert (new.obs["leiden_0.5_3"].str.rpartition("_")[0] == adata.obs["leiden_0.5_2"].astype(str)).all()
    assert new.obs["leiden_0.5_3"].nunique() > 2
    assert_same(adata.obsm["X_scvi"], new.obsm["X_scvi"], "obsm")


def test_c12_a_resolution_has_one_spelling(one: Run, cluster: Cluster, pbmc: Path) -> None:
    report = one(pbmc, {"resolutions": [1, 0.5, 0.50, 1.0]})
    assert report["columns"] == ["leiden_1.0_1", "leiden_0.5_1"]
    for spelling in ("1", "1.0", "1e0"):
        assert cluster(pbmc, "out.zarr", "--resolution", spelling, "--overwrite")[0] == 0
        assert list(load("out.zarr").obs) == ["leiden_1.0_1"]


def test_c13_equal_names_neither_multiply_nor_lose_cells(one: Run, cluster: Cluster, tmp_path: Path) -> None:
    path = saved(tmp_path, "h5ad")
    report = one(Path(path), {"hierarchy": 2})
    assert len(pd.read_parquet(report["labels"])) == load(report["output"]).n_obs == 60
    assert any("twice" in notice for notice in report["notices"])
    assert cluster(path, "l1.zarr")[0] == cluster("l1.zarr", "l2.zarr", "--level", 2)[0] == 0
    assert list(load("l2.zarr").obs_names) == list(load(path).obs_names)


def test_c15_cells_without_a_parent_stay_so_and_the_column_is_of_text(cluster: Cluster, tmp_path: Path) -> None:
    adata = planted(use_rep="X_scvi")
    adata.obs["leiden_1.0_1"] = adata.obs["group"].where(np.arange(300) % 10 > 0)
    path = save(adata, tmp_path, "h5ad")
    code, printed = cluster(path, "out.zarr", "--level", 2)
    assert code == 0
    assert "30 cells have no label in leiden_1.0_1" in printed
    labels = only("out.zarr")
    assert labels.isna().to_numpy().nonzero()[0].tolist() == list(range(0, 300, 10))
    assert all(isinstance(name, str) for name in labels.cat.categories)


def test_c16_wrong_words_are_refused_by_name(cluster: Cluster, pbmc: Path) -> None:
    code, printed = cluster(pbmc, "out.zarr", "--algorithm", "leidan")
    assert code == 2
    assert "leidan" in printed
    assert "did you mean `leiden`" in printed
    with pytest.raises(ValueError, match="overwrite: must be true or false"):
        ClusteringConfig(algorithm="leiden", resolutions=1, overwrite="false")


def test_c17_graph_parameters_of_no_use_are_said(forms: dict[str, Path], cluster: Cluster, one: Run) -> None:
    args = ["--neighbors_args", '{"n_neighbors": 5, "metric": "cosine"}']
    code, printed = cluster(forms["zarr"], "l1.zarr", *args)
    assert code == 0
    assert "notice: the stored graph is clustered as it is, without regard to n_neighbors, metric; build" in printed
    code, printed = cluster("l1.zarr", "l2.zarr", "--level", 2, *args)
    assert code == 0
    assert "notice" not in printed  # there they count
    settings: dict[str, Any] = {"neighbors": {"n_neighbors": 5}}
    for more, said in (({}, True), ({"hierarchy": 2}, False), ({"recompute_neighbors": True}, False)):
        notices = one(forms["zarr"], {**settings, **more})["notices"]
        assert any("without regard to n_neighbors; set `recompute_neighbors: true`" in line for line in notices) == said


@pytest.mark.parametrize(
    "wrong",
    [{"hierarchy": [0.1, 0.2]}, {"hierarchy": 0}, {"neighbor_key": "x"}, {"neighbors": {"n_neigbors": 5}},
     {"clustering_args": {"resolutoin": 1}}, {"umap_color": ["x"]}],
)  # fmt: skip
def test_c17_nothing_is_ignored_in_silence(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClusteringConfig(algorithm="leiden", resolutions=1, **wrong)


def test_c21_a_missing_umap_fails_nothing(one: Run, tmp_path: Path) -> None:
    path = save(planted(), tmp_path, "h5ad")
    report = one(Path(path), {"umap_colors": ["group"]})
    assert any("no UMAP" in notice for notice in report["notices"])
    assert "X_umap" not in load(report["output"]).obsm


def test_c22_natural_order_and_exact_names(cluster: Cluster, run: Run, tmp_path: Path) -> None:
    cells, _ = blobs([40] * 12, spread=60)
    adata = ad.AnnData(np.zeros((480, 1), np.float32), var=pd.DataFrame(index=["sex_determining"]))
    adata.obsm["X_pca"] = cells
    path = save(adata, tmp_path, "h5ad")
    assert cluster(path, "out.zarr", "--resolution", 0.5)[0] == 0
    assert list(only("out.zarr").cat.categories) == [str(i) for i in range(12)]
    clustering = {"algorithm": "leiden", "resolutions": 1, "umap_colors": ["sex"]}
    data = {"d": {"input": {"clustering": path}, "clustering": clustering}}
    with pytest.raises(Exception, match="neither a column nor a gene"):
        run(output_dir=str(tmp_path / "out"), cache=str(tmp_path / "cache"), DATASETS=data)


def test_c23_a_bare_file_name_is_a_path_and_names_are_free(run: Run, cluster: Cluster, tmp_path: Path) -> None:
    save(planted(), tmp_path, "h5ad", "bare")  # `cluster` has made this folder the current one
    clustering = {"algorithm": "leiden", "resolutions": 0.5}
    name = "lung v2.1 (Köln)"
    data = {name: {"input": {"clustering": "bare.h5ad"}, "clustering": clustering}}
    (report,) = run(output_dir="out", cache="cache", DATASETS=data)["datasets"].values()
    assert f"dataset~{name}" in report["output"]
    assert os.path.isdir(report["output"])


def test_c25_the_seed_decides_and_nothing_else(blobs: Path, cluster: Cluster) -> None:
    found = {}
    for seed, threads in ((0, 1), (0, 2), (1, 1)):
        out, args = f"{seed}-{threads}.zarr", ["--clustering_args", f'{{"seed": {seed}}}', "--threads", threads]
        os.environ["CELLSTRATA_CACHE"] = f"cache-{seed}-{threads}"  # undone with the fixture's own change
        assert cluster(blobs, out, *args, "--neighbors_args", '{"use_rep": "X_latent"}', "--resolution", 9)[0] == 0
        found[seed, threads] = load(out)
    first, second, other = found.values()
    assert first.obs.equals(second.obs)
    assert_same(first.obsp["distances"], second.obsp["distances"])
    assert not first.obs.equals(other.obs)


def test_c26_one_failing_cluster_costs_itself_alone(
    forms: dict[str, Path], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cluster(forms["zarr"], "l1.zarr")[0] == 0
    assert cluster("l1.zarr", "l2.zarr", "--level", 2)[0] == 0
    before = tree_hash("l2.zarr")
    from cellstrata.tasks.trees import split as splits

    real = splits.partition
    calls: list[int] = []

    def failing(graph: Any, *rest: Any) -> Any:
        calls.append(graph.n_vertices)
        if len(calls) == 4:
            raise MemoryError("none left")
        return real(graph, *rest)

    monkeypatch.setattr(splits, "partition", failing)
    args = ["--level", 2, "--resolution", 0.7, "--overwrite"]
    code, printed = cluster("l1.zarr", "l2.zarr", *args)
    assert code == 1
    assert re.search(r"none left, when splitting cluster \d, \d+ cells", printed)
    assert tree_hash("l2.zarr") == before  # never in place, never half
    code, printed = cluster("l1.zarr", "l2.zarr", *args)
    assert code == 0
    found = re.search(r"(\d) splits computed, (\d) from cache", printed)
    assert found
    assert int(found[2]) >= 3
    assert int(found[1]) >= 1
