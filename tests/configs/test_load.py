from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cellstrata.configs import ConfigError, RunConfig, load_config

Load = Callable[..., tuple[RunConfig, list[str]]]
TWO = "output_dir: out\ndefaults: {clustering: {algorithm: leiden, resolutions: 1}}\nDATASETS:\n"
TWO += "  Lung-1: {input: {clustering: x}, clustering: {seed: 5, clustering_args: {random_state: 6}}}\n"
TWO += "  my.set: {input: {clustering: {core: y}}}\n"


def test_precedence(load: Load, base: str) -> None:
    text = "workers: 1\n" + base
    assert load(text)[0].workers == 1
    assert load(text, env={"CELLSTRATA_WORKERS": "2"})[0].workers == 2
    assert load(text, "--workers", "3", env={"CELLSTRATA_WORKERS": "2"})[0].workers == 3


def test_environment(load: Load) -> None:
    env = {
        "CELLSTRATA_OUTPUT_DIR": "2024",
        "CELLSTRATA_DEFAULTS__CLUSTERING__SEED": "3",
        "CELLSTRATA_DATASETS__LUNG_1__CLUSTERING__N_ITERATIONS": "-1",
        "CELLSTRATA_DATASETS__MY_SET__CLUSTERING__RESOLUTIONS": "[0.2, 1e-3]",
        "CELLSTRATA_STORAGE_OPTIONS__S3__PROFILE": "lab",
        "CELLSTRATA_STORAGE_OPTIONS__S3__SECRET": "0123",
        "cellstrata_refresh": "yes",
        "OTHER": "1",
    }
    config, notices = load(TWO, env=env)
    assert config.output_dir == "2024"
    assert config.refresh
    assert [dataset.clustering.seed for dataset in config.DATASETS.values()] == [6, 3]
    assert config.DATASETS["Lung-1"].clustering.n_iterations == -1
    assert config.DATASETS["my.set"].clustering.resolutions == [0.2, 0.001]
    assert config.storage_options == {"s3": {"profile": "lab", "secret": "0123"}}
    assert notices == []


def test_environment_alone() -> None:
    env = {
        "CELLSTRATA_OUTPUT_DIR": "out",
        "CELLSTRATA_DEFAULTS__CLUSTERING": "{algorithm: leiden, resolutions: 1}",
        "CELLSTRATA_DATASETS__LUNG__INPUT__CLUSTERING": "lung.h5ad",
    }
    assert list(load_config(None, env=env)[0].DATASETS) == ["lung"]


def test_unknown_variables_are_notices(load: Load) -> None:
    env = {"CELLSTRATA_SEEED": "1", "CELLSTRATA_DATASETS__LUGN__CLUSTERING__SEED": "3"}
    notices = load(TWO, env=env)[1]
    assert len(notices) == 2
    assert "no dataset `lugn`" in " ".join(notices)
    assert "did you mean `CELLSTRATA_DEFAULTS__CLUSTERING__SEED`?" in " ".join(notices)


def test_options(load: Load) -> None:
    options = ["--DATASETS.my.set.clustering.resolutions", "[0.2, 1]", "--workers", "2", "--refresh"]
    options += [
        "--runner=threads",
        "--defaults.clustering.min_cells",
        "3",
        "--no-rehash",
        "--output-dir",
        "o",
    ]
    options += ["--DATASETS.my.set.clustering.hierarchy", "{levels: {2: 0.1}}", "--overwrite", "false"]
    options += ["--n_iterations", "-1", "--neighbors.n_neighbors", "9", "--use_gpu", "required"]
    config = load(TWO, *options)[0]
    mine, lung = config.DATASETS["my.set"].clustering, config.DATASETS["Lung-1"].clustering
    assert mine.resolutions == [0.2, 1.0]
    assert lung.resolutions == [1.0]
    assert (config.workers, config.refresh, config.runner, config.rehash) == (2, True, "threads", False)
    assert (config.output_dir, config.use_gpu) == ("o", "required")
    assert mine.hierarchy.depth == 2
    for clustering in (mine, lung):
        assert (clustering.min_cells, clustering.overwrite, clustering.n_iterations) == (3, False, -1)
        assert clustering.neighbors
        assert clustering.neighbors.n_neighbors == 9


@pytest.mark.parametrize("options", [["--no-refresh"], ["--refresh", "false"], ["--refresh=no"], ["--refresh", "0"]])
def test_switch_off(load: Load, base: str, options: list[str]) -> None:
    assert load("refresh: true\n" + base, *options)[0].refresh is False


def test_a_bare_key_holds_for_every_dataset(load: Load) -> None:
    config = load(TWO, "--seed", "1", "--resolutions", "[0.5]")[0]
    for dataset in config.DATASETS.values():
        assert (dataset.clustering.seed, dataset.clustering.resolutions) == (1, [0.5])


def test_a_replaced_hierarchy_is_not_mixed(load: Load, base: str) -> None:
    text = base + "      hierarchy: {levels: {4: 0.1}}\n"
    assert load(text, "--hierarchy", "{clusters: {1: 0.1}}")[0].DATASETS["lung"].clustering.hierarchy.depth == 2
    assert load(text, "--hierarchy.levels.5", "0.2")[0].DATASETS["lung"].clustering.hierarchy.depth == 5
    assert load(text, "--hierarchy", "null")[0].DATASETS["lung"].clustering.hierarchy.depth == 1


def test_inputs_by_option(load: Load, base: str) -> None:
    option = "--DATASETS.lung.input.clustering"
    assert load(base, option, "2024")[0].DATASETS["lung"].input.clustering.popitem()[1] == "2024"
    assert load(base, option + ".core.v2", "y")[0].DATASETS["lung"].input.clustering == {"core.v2": "y"}
    assert list(load(base, "--DATASETS.heart.input.clustering", "y", "--seed", "1", "--defaults.clustering",
                     "{algorithm: leiden, resolutions: 1}")[0].DATASETS) == ["lung", "heart"]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resolutoins", "[1]"], ["option --resolutoins", "did you mean `--resolutions`?"]),
        (["--worker", "2"], ["did you mean `--workers`?"]),
        (["--DATASETS.lugn.clustering.seed", "2"], ["no dataset `lugn`", "did you mean `lung`?"]),
        (["--DATASETS.lung.clustering.sed", "2"], ["unknown option", "did you mean `--seed`?"]),
        (["--workers"], ["option --workers", "needs a value"]),
        (["--workers", "--refresh"], ["needs a value"]),
        (["--workers", "many"], ["workers (option --workers)", "whole number"]),
        (["--workers=0"], ["workers (option --workers)", "at least 1"]),
        (["--refresh", "maybe"], ["`maybe`", "stands alone"]),
        (["stray"], ["`stray`"]),
        (["--resolutions", "[0.2"], ["option --resolutions", "cannot be read"]),
        (["--no-workers"], ["--no-workers", "unknown option"]),
        (["--seed", "x"], ["seed (option --seed)", "whole number"]),
        (["--seed.x", "1"], ["unknown option", "no keys"]),
        (["--runner", "thread"], ["runner (option --runner)", "did you mean `threads`?"]),
    ],
)
def test_refused_options(refused: Callable[..., str], base: str, options: list[str], words: list[str]) -> None:
    message = refused(base, *options)
    for word in [*words, "1 problem"]:
        assert word in message


def test_refused_variable(refused: Callable[..., str], base: str) -> None:
    assert "workers (environment CELLSTRATA_WORKERS)" in refused(base, env={"CELLSTRATA_WORKERS": "x"})


def test_secrets_given_beside_the_file_are_not_repeated(refused: Callable[..., str], base: str) -> None:
    for env in ({"CELLSTRATA_STORAGE_OPTIONS": "[HUSH"}, {"CELLSTRATA_STORAGE_OPTIONS__S3": "HUSH"}):
        assert "HUSH" not in refused(base, env=env)


def test_all_at_once(refused: Callable[..., str], base: str) -> None:
    message = refused("runner: x\n" + base, "--worker", "2", "--grain", "0")
    assert "3 problems" in message


def test_a_bare_key_is_refused_once(refused: Callable[..., str]) -> None:
    assert "1 problem" in refused(TWO, "--seed", "x")


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "lung.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"no such file; did you mean `lung\.yaml`") as caught:
        load_config(str(tmp_path / "lugn.yaml"))
    assert "lugn.yaml" in str(caught.value)
    with pytest.raises(ConfigError, match="folder"):
        load_config(str(tmp_path))
    (tmp_path / "x.h5ad").write_bytes(b"\x89HDF\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(str(tmp_path / "x.h5ad"))


def test_relative_paths_stay_as_written(load: Load, base: str) -> None:
    assert next(iter(load(base)[0].DATASETS["lung"].input.clustering.values())) == "lung.h5ad"
