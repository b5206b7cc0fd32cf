"""`cellstrata cluster`: one level, as the ancestor's script documents it, without a Prefect server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import assert_same, load, mapping, save, tree_hash

COMMAND = Path(sys.executable).with_name("cellstrata")
ARGS_2 = ["--level", "2", "--threads", "4", "--neighbors_args", '{"n_neighbors": 15, "use_rep": "X_pca"}']
ARGS_3 = ["--resolution", "0.8", "--clustering_args", '{"n_iterations": 5, "flavor": "igraph"}', "--overwrite"]


def column(path: Path | str) -> tuple[str, pd.Series]:
    obs = load(str(path)).obs
    assert obs.shape[1] == 1
    assert isinstance(obs.iloc[:, 0].dtype, pd.CategoricalDtype)
    return str(obs.columns[0]), obs.iloc[:, 0]


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_the_three_documented_sequences(form: str, forms: dict[str, Path], cluster: Cluster, tmp_path: Path) -> None:
    """From a shell with an h5ad; with a zarr in this process."""
    environment = {**os.environ, "CELLSTRATA_CACHE": str(tmp_path / "cache"), "PREFECT_HOME": str(tmp_path / "prefect")}

    def shell(*arguments: str) -> None:
        if form == "zarr":
            code, printed = cluster(*arguments)
            assert code == 0, printed
            return
        done = subprocess.run(
            [COMMAND, "cluster", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    source, before = str(forms[form]), tree_hash(str(forms[form]))
    shell(source, "output_level1.zarr", "--resolution", "1.0", "--algorithm", "leiden")
    name, level1 = column(tmp_path / "output_level1.zarr")
    assert name == "leiden_1.0_1"
    assert level1.nunique() > 5

    shell("output_level1.zarr", "output_level2.zarr", "--resolution", "0.5", *ARGS_2)
    name, level2 = column(tmp_path / "output_level2.zarr")
    assert name == "leiden_1.0_2"
    assert (level2.str.rpartition("_")[0] == level1.astype(str)).all()
    assert level2.nunique() > level1.nunique()

    shell(source, "output.zarr", *ARGS_3)
    name, _ = column(tmp_path / "output.zarr")
    assert name == "leiden_0.8_1"
    facts = json.loads(load(str(tmp_path / "output.zarr")).uns["clustering"]["columns"])
    assert facts["leiden_0.8_1"]["n_iterations"] == 5

    assert tree_hash(source) == before
    assert not (tmp_path / "prefect").exists()


@pytest.mark.parametrize("ensemble", [None, "auto"])
def test_level_two_is_that_of_a_run_and_shares_its_cache(
    ensemble: str | None, forms: dict[str, Path], cluster: Cluster, one: Run, tmp_path: Path
) -> None:
    settings = {"resolutions": [1.0], "hierarchy": {"levels": {2: 0.5, 3: 0.3}}, "ensemble": ensemble or 1}
    more = [] if ensemble is None else ["--ensemble", ensemble]
    report = one(forms["zarr"], settings)
    whole = load(report["output"]).obs
    for level, resolution, source in ((1, "1.0", forms["zarr"]), (2, "0.5", "l1.zarr"), (3, "0.3", "l2.zarr")):
        code, printed = cluster(source, f"l{level}.zarr", "--level", level, "--resolution", resolution, *more)
        assert code == 0, printed
        assert " 0 splits computed" in printed
        name, labels = column(f"l{level}.zarr")
        assert name == f"leiden_1.0_{level}"
        pd.testing.assert_series_equal(labels, whole[name])
    tree = load("l3.zarr").uns["clustering"]["tree"]
    theirs = load(report["output"]).uns["clustering"]["tree"]
    assert (tree["from_cache"] == (tree["key"] != "")).all()
    assert not theirs["from_cache"].any()
    tree, theirs = (frame.drop(columns=["from_cache", "engine_reason"]) for frame in (tree, theirs))
    sorted_ = [frame.sort_values(["level", "column", "cluster"]).reset_index(drop=True) for frame in (tree, theirs)]
    pd.testing.assert_frame_equal(*sorted_)
    assert set(tree[tree["key"] != ""]["runs"]) <= ({1} if ensemble is None else {3, 8})
    assert ("clustering_stability" in load("l3.zarr").obsm) == (ensemble is not None)
    assert load("l3.zarr").obsm.get("clustering_stability", np.empty((0, 1))).shape[1] == 1  # of its own column


def test_everything_else_of_a_zarr_is_linked_and_of_an_h5ad_what_the_next_level_needs(
    forms: dict[str, Path], cluster: Cluster
) -> None:
    old = load(str(forms["h5ad"]))
    for form, slots in (("zarr", ["var", "obsm", "obsp", "varm", "layers"]), ("h5ad", ["var", "obsm", "obsp"])):
        assert cluster(forms[form], f"{form}.zarr")[0] == 0
        new = load(f"{form}.zarr")
        for slot in slots:
            assert_same(mapping(getattr(old, slot)), mapping(getattr(new, slot)), slot)
        assert list(new.obs_names) == list(old.obs_names)
        assert set(new.uns) == {*old.uns, "clustering", "leiden_1.0_1_colors"}
        assert (new.X is None, new.raw is None) == ((True, True) if form == "h5ad" else (False, False))
    assert Path("zarr.zarr/X").is_symlink()
    assert_same(old.X, load("zarr.zarr").X, "X")


def test_graph_and_pca_that_are_computed_are_there_for_the_next_level(cluster: Cluster, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 400)
    adata = ad.AnnData(rng.poisson(1 + 6 * np.eye(20)[groups * 4], (400, 20)).astype(np.float32))
    adata.obs_names = [f"c{i}" for i in range(400)]
    save(adata, tmp_path, "h5ad", "x")
    code, printed = cluster("x.h5ad", "l1.zarr", "--resolution", "0.5")
    assert code == 0
    assert "PCA" in printed
    assert "no neighbour graph" in printed
    new = load("l1.zarr")
    assert {"X_pca"} == set(new.obsm)
    assert {"connectivities", "distances"} == set(new.obsp)
    assert new.uns["neighbors"]["params"]["use_rep"] == "X_pca"
    assert cluster("l1.zarr", "l2.zarr", "--level", 2)[0] == 0
    assert "notice" not in cluster("l1.zarr", "again.zarr", "--resolution", "0.5", "--overwrite")[1]


def test_the_parent_is_found_or_named(forms: dict[str, Path], cluster: Cluster, tmp_path: Path) -> None:
    adata = load(str(forms["h5ad"]))
    adata.obs["leiden_0.5_1"] = pd.Categorical(np.where(np.arange(700) < 300, "0", "1"))
    adata.obs["leiden_2.0_1"] = pd.Categorical(np.where(np.arange(700) < 200, "0", "1"))
    save(adata, tmp_path, "h5ad", "two")
    code, printed = cluster("two.h5ad", "out.zarr", "--level", 2, "--resolution", 0.3)
    assert code == 2
    assert "leiden_0.5_1, leiden_2.0_1" in printed
    assert "--parent_key" in printed
    assert not Path("out.zarr").exists()
    for options, name, first in (
        (["--resolution", "2"], "leiden_2.0_2", 200),
        (["--resolution", "0.3", "--parent_key", "leiden_0.5_1"], "leiden_0.5_2", 300),
        # the ancestor's own way: the parent by --resolution, the splits at that of the arguments
        (["--resolution", "2.0", "--clustering_args", '{"resolution": 0.3}'], "leiden_2.0_2", 200),
    ):
        code, printed = cluster("two.h5ad", "out.zarr", "--level", 2, "--overwrite", *options)
        assert code == 0, printed
        found, labels = column("out.zarr")
        assert found == name
        assert (labels.str.startswith("0_") == (np.arange(700) < first)).all()
    used = json.loads(load("out.zarr").uns["clustering"]["columns"])["leiden_2.0_2"]["resolutions_used"]
    assert used == [0.3]
    code, printed = cluster("two.h5ad", "types.zarr", "--level", 2, "--parent_key", "bulk_labels")
    assert code == 0, printed
    name, labels = column("types.zarr")
    assert name == "leiden_1.0_2"
    assert (labels.str.rpartition("_")[0] == adata.obs["bulk_labels"].astype(str)).all()


def test_what_is_there_is_kept_unless_it_is_to_be_overwritten(
    forms: dict[str, Path], cluster: Cluster, tmp_path: Path
) -> None:
    adata = load(str(forms["h5ad"]))
    adata.obs["leiden_1.0_1"] = pd.Categorical(["mine"] * 700)
    save(adata, tmp_path, "h5ad", "mine")
    code, printed = cluster("mine.h5ad", "out.zarr")
    assert code == 0
    assert "leiden_1.0_1 is in" in printed
    assert "kept" in printed
    assert set(column("out.zarr")[1]) == {"mine"}
    assert "X_pca" in load("out.zarr").obsm  # for the next level
    code, printed = cluster("out.zarr", "l2.zarr", "--level", 2)
    assert code == 0
    assert column("l2.zarr")[0] == "leiden_1.0_2"

    before = tree_hash("out.zarr")
    code, printed = cluster(forms["h5ad"], "out.zarr")
    assert code == 0
    assert "made from another input" in printed
    assert "--overwrite" in printed
    assert cluster(forms["zarr"], "z.zarr")[0] == 0
    assert "already, and is kept" in cluster(forms["zarr"], "z.zarr")[1]
    assert "made with other parameters" in cluster(forms["zarr"], "z.zarr", "--n_cell_cpu", 5)[1]
    code, printed = cluster(forms["h5ad"], "out.zarr", "--resolution", 0.5)
    assert code == 2
    assert "holds leiden_1.0_1" in printed
    assert tree_hash("out.zarr") == before

    assert cluster("mine.h5ad", "out.zarr", "--overwrite")[0] == 0
    assert column("out.zarr")[1].nunique() > 5


def test_what_is_not_of_this_command_is_never_touched(
    forms: dict[str, Path], cluster: Cluster, one: Run, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("mine")
    (tmp_path / "file.zarr").write_text("mine")
    shutil.copytree(forms["zarr"], tmp_path / "other.zarr")
    report = one(forms["h5ad"], {})
    for place in ("folder", "file.zarr", "other.zarr", report["output"], str(forms["zarr"]), f"{forms['zarr']}/obs"):
        before = tree_hash(place)
        for options in ([], ["--overwrite"]):
            code, printed = cluster(forms["zarr"], place, *options)
            assert code == 2, printed
            assert len(printed.splitlines()) <= 10
        assert tree_hash(place) == before
    assert cluster(forms["h5ad"], "deep/er/out.zarr")[0] == 0


def test_threads_change_nothing(blobs: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cellstrata.flows.commands.cluster.WORTH_PROCESSES", 100)
    found = []
    for threads in (1, 3):
        monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / f"cache{threads}"))
        args = ["--threads", threads, "--neighbors_args", '{"use_rep": "X_latent"}', "--resolution", 0.1]
        assert cluster(blobs, f"l1-{threads}.zarr", *args)[0] == 0
        code, printed = cluster(
            f"l1-{threads}.zarr", f"l2-{threads}.zarr", "--level", 2, *args[:2], "--resolution", 0.3
        )
        assert code == 0
        assert " 0 from cache" in printed
        found.append(column(f"l2-{threads}.zarr")[1])
    for other in found[1:]:
        pd.testing.assert_series_equal(found[0], other)


def test_it_never_imports_prefect(forms: dict[str, Path], tmp_path: Path) -> None:
    code = (
        "import sys; from cellstrata.flows.commands.command import main\n"
        f"code = main(['cluster', {str(forms['h5ad'])!r}, 'out.zarr'])\n"
        "assert code == 0 and not {'prefect', 'scanpy', 'umap'} & set(sys.modules)"
    )
    environment = {**os.environ, "CELLSTRATA_CACHE": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=60)


def test_help_lists_the_documented_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cluster", "-h"])
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for option, default in {
        "resolution": "1.0", "algorithm": "leiden", "level": "1", "threads": "1", "ensemble": "1",
        "max_cluster_factor": "50",
        "clustering_args": "{}", "neighbors_key": "neighbors", "neighbors_args": "{}", "n_cell_cpu": "100000",
    }.items():  # fmt: skip
        assert f"--{option} " in text
        assert f"(default: {default})" in text
    assert "--overwrite" in text
    assert "--parent_key" in text
