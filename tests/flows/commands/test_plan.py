"""`cellstrata plan`: before a run, after it, and after a change of mind; refusals are those of `run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest

from cellstrata.flows.commands.command import main
from tests import ROOT
from tests.flows.conftest import Run

LATENT: dict[str, Any] = {"neighbors": {"use_rep": "X_latent"}, "hierarchy": 3, "resolutions": [0.2, 1.0],
                         "ensemble": "auto"}  # fmt: skip
Plan = Callable[..., tuple[int, dict[str, Any], str]]


def config(tmp_path: Path, data: Path, **settings: Any) -> str:
    document = {
        "output_dir": str(tmp_path / "out"),
        "cache": str(tmp_path / "cache"),
        "runner": "threads",
        "workers": 2,
        "DATASETS": {
            "d": {"input": {"clustering": {"f": str(data)}}, "clustering": {"algorithm": "leiden"} | settings}
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Plan:
    """`cellstrata plan --json` in this process: its exit code, its document, all else that it printed."""

    def call(data: Path, *options: str, **settings: Any) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = main(["plan", config(tmp_path, data, **settings), "--json", *options])
        printed = capsys.readouterr()
        return code, json.loads(printed.out.splitlines()[-1]) if printed.out else {}, printed.err

    return call


def levels(document: dict[str, Any], name: str = "d/f") -> dict[tuple[float, int], dict[str, Any]]:
    trees = document["datasets"][name]["trees"]
    return {(tree["resolution"], level["level"]): level for tree in trees for level in tree["levels"]}


def states(document: dict[str, Any], name: str = "d/f") -> dict[str, str]:
    return {step["name"]: step["state"] for step in document["datasets"][name]["steps"]}


def test_before_a_run_after_it_and_after_a_change_of_mind(one: Run, plan: Plan, blobs: Path, tmp_path: Path) -> None:
    code, cold, said = plan(blobs, **LATENT)
    assert code == 0
    assert not (tmp_path / "out").exists()
    assert states(cold) == {"neighbors": "compute"}
    for (_, level), found in levels(cold).items():
        expected = (1, 2400, 0) if level == 1 else (0, 0, 2400)
        assert (found["to_compute"], found["to_compute_cells"], found["unknown_cells"]) == expected
        assert (found["from_cache"], found["left_whole"]) == (0, {})
        assert found["seconds"] > 0
    total = cold["total"]
    assert (total["to_compute"], total["from_cache"], total["past_splits"]) == (2, 0, 0)
    assert 0 < total["wall_seconds"] <= total["seconds"]
    assert "no past splits: rough" in said
    assert plan(blobs, **LATENT)[1] == cold, "planning changes nothing that it tells"

    report = one(blobs, LATENT)
    code, warm, said = plan(blobs, **LATENT)
    assert code == 0
    assert warm["total"] | {"from_cache": 0, "past_splits": 0, "basis": ""} == dict.fromkeys(total, 0) | {
        "nothing_to_compute": True, "workers": 2, "basis": "",
    }  # fmt: skip
    assert warm["total"]["from_cache"] == report["splits"]["executed"] + report["splits"]["cached"]
    assert 0 < warm["total"]["past_splits"] <= report["splits"]["executed"]
    assert states(warm) == {"neighbors": "cached"}
    assert f"nothing to compute: {warm['total']['from_cache']} splits come from the cache" in said

    code, more, said = plan(blobs, **(LATENT | {"resolutions": [0.2, 0.6, 1.0]}))
    added = {key: level for key, level in levels(more).items() if key[0] == 0.6}
    assert {key: level for key, level in levels(more).items() if key[0] != 0.6} == levels(warm)
    assert [level["to_compute"] for level in added.values()] == [1, 0, 0]
    assert [level["unknown_cells"] for level in added.values()] == [0, 2400, 2400]
    assert more["total"]["seconds"] == pytest.approx(sum(level["seconds"] for level in added.values()), abs=0.01)
    assert "past splits took" in said

    _, anew, _ = plan(blobs, "--refresh", **LATENT)
    assert anew["total"]["to_compute"] == warm["total"]["from_cache"]
    assert anew["total"]["from_cache"] == 0
    assert states(anew) == {"neighbors": "compute"}


@pytest.mark.parametrize(("engine", "share"), [("cellstrata", 2), ("igraph", 1)])
def test_threads_work_side_by_side_unless_the_engine_holds_them_up(
    plan: Plan, blobs: Path, engine: str, share: int
) -> None:
    total = plan(blobs, **(LATENT | {"engine": engine, "hierarchy": 1, "resolutions": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}))[
        1
    ]["total"]
    assert total["workers"] == 2
    assert total["wall_seconds"] == pytest.approx(total["seconds"] / share, rel=0.01)


def test_the_table(blobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", config(tmp_path, blobs, **LATENT)]) == 0
    head, *rows, total = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert head[:3] == ["dataset", "what", "level"]
    assert [row[:-1] for row in rows[:3]] == [
        ["d/f", "neighbors", "1", "2,400"],
        ["d/f", "leiden", "0.2", "1", "1", "2,400"],
        ["d/f", "leiden", "0.2", "2", "2,400"],
    ]
    assert len(rows) == 7
    assert " ".join(total).startswith("about ")
    assert "with 2 workers (no past splits: rough)" in " ".join(total)


def test_without_prefect_and_without_a_server(blobs: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from cellstrata.flows.commands.command import main; code = main(sys.argv[1:]); "
        "loaded = {name.split('.')[0] for name in sys.modules}; "
        "assert not loaded & {'prefect', 'scanpy', 'umap'}, loaded; sys.exit(code)"
    )
    home = tmp_path / "prefect"
    done = subprocess.run(
        [sys.executable, "-c", script, "plan", config(tmp_path, blobs, **LATENT), "--json"],
        capture_output=True, text=True, timeout=120, cwd=ROOT, env=os.environ | {"PREFECT_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert levels(json.loads(done.stdout.splitlines()[-1]))
    assert not home.exists()


def test_pca_umap_and_what_is_kept(plan: Plan, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(rng.random((60, 20), dtype=np.float32))
    adata.obsm["X_latent"] = rng.random((60, 5), dtype=np.float32)
    adata.obs["leiden_0.2_1"] = np.array(["0", "1"])[np.arange(60) // 40]
    for level in (1, 2, 3):
        adata.obs[f"leiden_1.0_{level}"] = "_".join("000"[:level])
    adata.write_h5ad(tmp_path / "in.h5ad")
    settings = {**LATENT, "neighbors": {"n_neighbors": 10}, "recompute_umap": True}
    _, found, said = plan(tmp_path / "in.h5ad", **settings)
    assert states(found) == {"pca": "compute", "neighbors": "unknown", "umap": "unknown"}
    assert {level["unknown_cells"] for level in levels(found).values()} == {60}
    assert found["total"]["to_compute"] == 0
    assert not found["total"]["nothing_to_compute"]
    assert "obsm['X_pca'] is not there: a PCA of X is computed" in said

    latent = settings | {"neighbors": {"use_rep": "X_latent", "n_neighbors": 10}, "overwrite": False}
    _, kept, said = plan(tmp_path / "in.h5ad", **latent)
    assert states(kept) == {"neighbors": "compute", "umap": "compute"}
    assert [tree["kept_levels"] for tree in kept["datasets"]["d/f"]["trees"]] == [1, 3]
    assert list(levels(kept)) == [(0.2, 2), (0.2, 3)]
    assert (levels(kept)[0.2, 2]["to_compute"], levels(kept)[0.2, 2]["to_compute_cells"]) == (2, 60)
    assert said.count("  kept") == 4


def test_refusals_are_those_of_run(plan: Plan, blobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, settings, word in (
        ((), {"resolutions": [0.5], "neighbors": {"use_rep": "X_latnet"}}, "did you mean `X_latent`"),
        (("--workrs", "2"), LATENT, "--workers"),
        ((), {"resolutions": [0]}, "greater than 0"),
        (("--dask.address", "host"), LATENT, "tcp://"),
    ):
        code, document, said = plan(blobs, *options, **settings)
        assert (code, document) == (2, {})
        assert word in said
    assert main(["plan", str(tmp_path / "missing.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
    broken = anndata.AnnData(np.full((30, 4), np.nan, np.float32))
    broken.write_h5ad(tmp_path / "nan.h5ad")
    code, _, said = plan(tmp_path / "nan.h5ad", resolutions=[0.5])
    assert code == 2, "X is read for its PCA, and refused"
    assert "NaN" in said
