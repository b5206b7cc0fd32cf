from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from cellstrata.configs import ConfigError, RunConfig, json_schema, load_config, reference_table
from cellstrata.configs.cpus import usable_cpus

EXAMPLES = sorted(str(entry) for entry in (files("cellstrata.configs") / "examples").iterdir())


def run(clustering: dict[str, Any] | None = None, **more: Any) -> RunConfig:
    whole = {"algorithm": "leiden", "resolutions": [0.5], **(clustering or {})}
    return RunConfig(output_dir="out", DATASETS={"a": {"input": {"clustering": "x.h5ad"}, "clustering": whole}}, **more)


@pytest.mark.parametrize(
    ("n_cells", "grain"),
    [(0, 5_000), (700, 5_000), (250_000, 5_000), (1_000_000, 20_000), (5_000_000, 100_000), (10**8, 100_000)],
)
def test_the_grain_grows_with_the_cells(n_cells: int, grain: int) -> None:
    assert run().grain_for(n_cells) == grain
    assert run(grain=70).grain_for(n_cells) == 70


def test_defaults() -> None:
    config = run()
    assert (config.runner, config.grain, config.link, config.use_gpu) == ("processes", None, "auto", True)
    clustering = config.DATASETS["a"].clustering
    assert (clustering.seed, clustering.n_cell_cpu, clustering.max_cluster_factor) == (0, 100_000, 50)
    assert (clustering.overwrite, clustering.use_gpu, clustering.n_iterations) == (True, False, 2)
    assert clustering.hierarchy.depth == 1
    assert config.images_url == "out/images"
    assert config.worker_count >= 1


def test_normalised() -> None:
    clustering = run({"algorithm": ["leiden", "louvain", "leiden"], "resolutions": [1, 0.5, 0.50, 1.0]}).DATASETS["a"]
    assert clustering.clustering.algorithm == ["leiden", "louvain"]
    assert clustering.clustering.resolutions == [1.0, 0.5]
    assert all(type(number) is float for number in clustering.clustering.resolutions)
    assert run({"resolutions": 1, "umap_colors": "batch"}).DATASETS["a"].clustering.umap_colors == ["batch"]


def test_clustering_args_stand_for_keys() -> None:
    arguments = {
        "resolution": 2,
        "random_state": 5,
        "flavor": "leidenalg",
        "n_iterations": -1,
        "use_weights": False,
    }
    clustering = run({"clustering_args": arguments, "seed": 1}).DATASETS["a"].clustering
    assert (clustering.resolutions, clustering.seed, clustering.engine) == ([2.0], 5, "leidenalg")
    assert clustering.n_iterations == -1
    assert not clustering.use_weights
    assert run().DATASETS["a"].clustering.use_weights


@pytest.mark.parametrize("runs", [1, 8, 1000, "auto"])
def test_an_ensemble_is_a_number_of_runs_or_auto(runs: int | str) -> None:
    assert run({"ensemble": runs}).DATASETS["a"].clustering.ensemble == runs
    levels = run({"hierarchy": {"levels": {2: {"ensemble": runs}}}}).DATASETS["a"].clustering.hierarchy
    own = levels.parameters((0,))
    assert own is not None
    assert own.ensemble == runs


@pytest.mark.parametrize(
    ("runs", "words"),
    [(0, "not `0`"), (1001, "from 1 to 1000"), (True, "`auto`"), ("aut", "mean `auto`?"), ("8", "8"), (2.5, "2.5")],
)
def test_other_ensembles_are_refused(runs: object, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        run({"ensemble": runs})


def test_file_ids() -> None:
    written = {"list": ["a.h5ad", "b.h5ad"], "named": {"core": "s3://lab/core.zarr", 7: "x"}, "one": "a.h5ad"}
    base = {"algorithm": "leiden", "resolutions": 1}
    datasets = {name: {"input": {"clustering": given}, "clustering": base} for name, given in written.items()}
    config = RunConfig(output_dir="out", DATASETS=datasets)
    ids = {name: list(dataset.input.clustering) for name, dataset in config.DATASETS.items()}
    assert ids["named"] == ["core", "7"]
    assert ids["list"][0] == ids["one"][0]
    assert all(len(name) == 10 for name in ids["list"])


def test_merging() -> None:
    defaults = {
        "algorithm": "leiden",
        "resolutions": [1, 2],
        "neighbors": {"n_neighbors": 30, "use_rep": "X_pca"},
        "hierarchy": {"levels": {2: 0.1}},
        "umap_colors": ["a"],
        "clustering_args": {"seed": 9},
    }
    own = {
        "neighbors": {"n_neighbors": 15},
        "hierarchy": {"clusters": {"1": 0.3}},
        "umap_colors": ["b"],
        "resolutions": [3],
    }
    datasets = {
        "a": {"input": {"clustering": "x"}, "clustering": {**own, "seed": 1}},
        "b": {"input": {"clustering": "x"}, "clustering": {"neighbors": False, "hierarchy": None}},
        "c": {"input": {"clustering": "x"}},
    }
    config = RunConfig(output_dir="out", defaults={"clustering": defaults, "datasets": ["b", "a"]}, DATASETS=datasets)
    a, b, c = (config.DATASETS[name].clustering for name in "abc")
    assert a.neighbors
    assert (a.neighbors.n_neighbors, a.neighbors.use_rep) == (15, "X_pca")
    assert a.hierarchy.named_clusters() == [(1,)]
    assert (a.hierarchy.deepest_blanket, a.umap_colors, a.resolutions, a.seed) == (1, ["b"], [3.0], 1)
    assert b.neighbors is False
    assert b.hierarchy.depth == 1
    assert (c.seed, c.hierarchy.depth, c.resolutions) == (9, 2, [1.0, 2.0])
    assert list(config.selected) == ["a", "b"]
    assert RunConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: Path(path).stem)
def test_examples(path: str) -> None:
    config, notices = load_config(path, env={})
    assert len(notices) == path.endswith("test_hierarchical.yaml")
    for dump in (config.model_dump(), config.model_dump(mode="json"), json.loads(config.model_dump_json())):
        assert RunConfig(**dump) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.model_copy(update={"workers": 3}).workers == 3
    assert len(Path(path).read_text().splitlines()) <= 28


def test_the_demo_asks_for_what_the_documented_examples_ask_for() -> None:
    folder = files("cellstrata.configs") / "examples"
    for name, dataset in load_config(str(folder / "demo.yaml"), env={})[0].DATASETS.items():
        documented = load_config(str(folder / f"{name}.yaml"), env={})[0].DATASETS[name].clustering
        assert dataset.clustering.hierarchy == documented.hierarchy  # in another spelling, without its notice
        assert dataset.clustering.resolutions == documented.resolutions


def test_hlca_recipes_differ_in_k_alone() -> None:
    folder = files("cellstrata.configs") / "examples"
    name = "hlca"
    effective = load_config(str(folder / "hlca_recipe.yaml"), env={})[0].DATASETS[name].clustering
    declared = load_config(str(folder / "hlca_recipe_declared.yaml"), env={})[0].DATASETS[name].clustering
    assert effective.hierarchy.depth == declared.hierarchy.depth == 5
    assert (effective.engine, effective.n_iterations) == ("leidenalg", -1)
    ks = [[h.parameters((0,) * n) for n in (1, 2, 3)] for h in (effective.hierarchy, declared.hierarchy)]
    assert [[level.n_neighbors for level in levels if level] for levels in ks] == [[None] * 3, [None, 15, 10]]
    five = effective.hierarchy.parameters((1, 2, 1, 2))
    assert five
    assert five.n_neighbors == 10
    assert effective.hierarchy.parameters((0, 0, 0, 0)) is None
    for recipe in ("hlca_recipe.yaml", "hlca_recipe_declared.yaml"):
        assert len((folder / recipe).read_text().splitlines()) <= 25


def test_cache_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert run().cache_url == "/x/cellstrata"
    assert run(cache="s3://c").cache_url == "s3://c"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert run().cache_url.endswith("/.cache/cellstrata")


@pytest.mark.parametrize(
    ("content", "own", "most"),
    [
        ({"cpu.max": "100000 100000"}, "", 1),
        ({"cpu.max": "50000 100000"}, "", 1),
        ({"cpu.max": "max 100000", "job/cpu.max": "100000 100000"}, "0::/job/step\n", 1),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, "", 1),
    ],
)
def test_cpus_of_a_container(tmp_path: Path, content: dict[str, str], own: str, most: int) -> None:
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert usable_cpus(tmp_path, tmp_path / "own") == most


def test_gpu_gates() -> None:
    assert run({"use_gpu": True}).gpu_for("a") is True
    assert run({"use_gpu": "required"}).gpu_for("a") == "required"
    assert run({"use_gpu": True}, use_gpu=False).gpu_for("a") is False
    assert run().gpu_for("a") is False


SECRETS = {
    "s3": {
        "key": "HUSH1",
        "secret": "HUSH2",
        "profile": "lab",
        "client_kwargs": {"aws_session_token": "HUSH3"},
    },
    "abfs": {
        "connection_string": "HUSH4",
        "sas_token": "HUSH5",
        "Account_Key": "HUSH6",
        "list": [{"token": "HUSH7"}],
    },
    "gs": {"token": {"private_key": "HUSH8"}, "key_prefix": "seen"},
}


def test_secrets_are_used_but_never_shown() -> None:
    config = run(storage_options=SECRETS)
    assert config.storage_options["s3"]["key"] == "HUSH1"
    assert config.storage_options == SECRETS
    again = pickle.loads(pickle.dumps(config))
    assert again.storage_options == SECRETS
    texts = [repr(config), str(config), str(config.storage_options), repr(config.storage_options["s3"])]
    texts += [config.model_dump_json(), str(config.model_dump(mode="json"))]
    texts += [repr(again), f"{config}", f"{config.storage_options['gs']}"]
    for text in texts:
        assert "HUSH" not in text
        assert "lab" in text or "***" in text
    assert "seen" in config.model_dump_json()
    assert config.model_dump()["storage_options"] == SECRETS


@pytest.mark.parametrize("wrong", [{"s3": "HUSH"}, "HUSH", ["HUSH"], {"s3": ["HUSH"]}])
def test_secrets_are_not_in_errors(wrong: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        run(storage_options=wrong, runner="x", dask={"password": "HUSH", "n_workers": "HUSH"})
    assert "HUSH" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None


def test_as_a_field_of_another_model() -> None:
    class Outer(BaseModel):
        config: RunConfig

    data = run().model_dump(mode="json")
    assert Outer(config=data).config == run()
    data["runner"] = "process"
    with pytest.raises(ValidationError, match="did you mean `processes`"):
        Outer(config=data)


def test_keywords_alone_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLSTRATA_WORKERS", "7")
    assert run().workers is None


def test_error_can_be_pickled() -> None:
    with pytest.raises(ConfigError) as caught:
        run(runner="x")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems[0].path == ("runner",)


def test_schema() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    for part in [schema, *schema["$defs"].values()]:
        assert all("description" in inner for inner in part.get("properties", {}).values())
    assert len(schema["$defs"]["ClusteringConfig"]["properties"]["hierarchy"]["anyOf"]) == 7


def test_reference_table() -> None:
    table = reference_table()
    for key in ("output_dir", "DATASETS.*.clustering.neighbors.n_pcs", "DATASETS.*.clustering.hierarchy"):
        assert f"| `{key}` |" in table
    rows = [line.replace("\\|", "") for line in table.splitlines()]
    assert {row.count("|") for row in rows} == {5}


def test_import_is_light() -> None:
    heavy = "('pandas', 'numpy', 'prefect')"
    code = f"import sys, cellstrata.configs.loading.load; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_notices(load: Callable[..., tuple[RunConfig, list[str]]], base: str) -> None:
    top = "env_mode: local\nresources: {cpu: {partition: x}}\n"
    more = "  heart: {input: {pca: x}, pca: {n: 3}}\n"
    text = top + base.replace("{clustering: lung.h5ad}", "{clustering: lung.h5ad, metrics: y}") + more
    config, notices = load(text + "", env={"CELLSTRATA_WORKRES": "3"})
    assert list(config.DATASETS) == ["lung"]
    assert len(notices) == 4
    for word in ("env_mode and resources", "`workers`", "heart", "input.metrics", "`CELLSTRATA_WORKERS`?"):
        assert word in " ".join(notices)


TWO_TREES = """output_dir: out
DATASETS:
  lung:
    input: {clustering: lung.h5ad}
    clustering: {algorithm: leiden, resolutions: [0.5, 1], hierarchy: {clusters: CLUSTERS}}
"""


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        ('{"3": 0.2, "1_0": 0.2}', "clusters 1_0, 3, which are of other cells in each of leiden_0.5, leiden_1.0"),
        ('{"3": 0.2, "leiden_0.5:3": 0.1}', ""),  # that of leiden_1.0 alone is meant by "3"
        ('{"leiden_1.0:3": 0.2, "leiden_0.5:3": 0.1}', ""),
    ],
)
def test_an_id_that_meets_several_columns_is_said(
    load: Callable[..., tuple[RunConfig, list[str]]], clusters: str, said: str
) -> None:
    notices = load(TWO_TREES.replace("CLUSTERS", clusters))[1]
    assert len(notices) == bool(said)
    assert said in "".join(notices)
    assert load(TWO_TREES.replace("CLUSTERS", clusters).replace("[0.5, 1]", "[0.5]").replace("leiden_1.0", "leiden_0.5")
                .replace(', "leiden_0.5:3": 0.1', ""))[1] == []  # fmt: skip


def test_clusters_of_a_column_that_is_not_made_are_refused(
    load: Callable[..., tuple[RunConfig, list[str]]],
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(TWO_TREES.replace("CLUSTERS", '{"leiden_0.7:3": 0.2}'))
    (problem,) = caught.value.problems
    assert problem.path[-2:] == ("clustering", "hierarchy")
    assert "leiden_0.7" in problem.message
    assert "leiden_0.5, leiden_1.0" in str(problem.suggestion) or "did you mean" in str(problem.suggestion)
