"""`cellstrata explain` on what `run`, `cluster` and `collect` really wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellstrata.flows.commands.command import main
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import load

Explain = Callable[..., tuple[int, str, str]]


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]) -> Explain:
    """`cellstrata explain` in this process: its exit code, and what it printed to stdout and stderr."""

    def call(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["explain", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_one_level_at_a_time_tells_of_all(forms: dict[str, Path], cluster: Cluster, explain: Explain) -> None:
    neighbors = ["--neighbors_args", '{"n_neighbors": 10, "use_rep": "X_pca"}']
    for level, source, more in (
        (1, forms["h5ad"], ["--resolution", 0.5]),
        (2, "l1.zarr", ["--resolution", 0.3]),
        (3, "l2.zarr", ["--resolution", 0.8, "--clustering_args", '{"n_iterations": 5, "seed": 3}', *neighbors]),
    ):
        code, printed = cluster(source, f"l{level}.zarr", "--level", level, *more)
        assert code == 0, printed
    label = load("l3.zarr").obs["leiden_0.5_3"].iloc[0]
    code, out, err = explain("l3.zarr", "--cluster", label, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    levels = found["levels"]
    assert [level["column"] for level in levels] == [f"leiden_0.5_{level}" for level in (1, 2, 3)]
    splits = [level["split"] for level in levels]
    assert [split["resolution"] for split in splits] == [0.5, 0.3, 0.8]
    assert [(split["n_iterations"], split["seed"]) for split in splits] == [(2, 0), (2, 0), (5, 3)]
    assert [split["graph"] for split in splits] == ["stored", "computed", "computed"]
    assert splits[2]["n_neighbors"] == 10
    assert not any(split["from_cache"] for split in splits)
    made_from = [level["input"] and Path(level["input"]["url"]).name for level in levels]
    assert made_from == ["input.h5ad", "l1.zarr", None]
    assert Path(found["input"]["url"]).name == "l2.zarr"
    for level in levels:
        shares = [each["share"] for each in level["clusters"]]
        assert sum(shares) == pytest.approx(1, abs=1e-3)

    code, out, _ = explain("l3.zarr", "--cluster", label)
    assert code == 0
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 160
    assert "partition  leiden, resolution 0.8, 5 iterations, seed 3, modularity" in out
    assert "made from  " in out

    own = label.rpartition("_")[0]
    for result in ("l2.zarr", "l3.zarr"):
        assert json.loads(explain(result, "--cluster", own, "--json")[1])["levels"][1]["split"] == splits[1]
    assert main(["collect", "l1.zarr", "l2.zarr", "l3.zarr", "--output", "all.zarr"]) == 0
    collected = json.loads(explain("all.zarr", "--cluster", label, "--json")[1])
    assert collected["levels"] == levels
    code, out, _ = explain("all.zarr", "--cluster", label)
    assert f"  from       {Path('l3.zarr').absolute()}" in out


def test_a_column_that_is_kept_and_one_of_another_kind(
    forms: dict[str, Path], cluster: Cluster, explain: Explain
) -> None:
    assert cluster(forms["zarr"], "l1.zarr", "--resolution", 0.5)[0] == 0
    assert cluster("l1.zarr", "kept.zarr", "--resolution", 0.5)[0] == 0
    ours, kept = (json.loads(explain(url, "--cluster", "2", "--json")[1]) for url in ("l1.zarr", "kept.zarr"))
    assert kept["levels"][0]["split"] == ours["levels"][0]["split"]
    assert kept["levels"][0]["input"] == ours["input"]
    assert cluster(forms["h5ad"], "types.zarr", "--level", 2, "--parent_key", "bulk_labels", "--resolution", 1)[0] == 0
    column = load("types.zarr").obs["leiden_1.0_2"]
    label = next(label for label in column.cat.categories if label.endswith("_1"))
    code, out, _ = explain("types.zarr", "--cluster", label)
    assert code == 0
    assert f"level 1  {label[:-2]}: " in out
    assert "clusters of bulk_labels, which came with the input" in out
    code, _, err = explain("types.zarr")
    assert code == 2
    assert "level 1 came with the input" in err


def test_a_run_and_what_a_second_one_found_in_the_cache(
    forms: dict[str, Path], one: Run, explain: Explain, tmp_path: Path
) -> None:
    levels: dict[int, Any] = {2: {"resolution": 0.3, "min_cells": 50}}
    report = one(forms["h5ad"], {"hierarchy": {"levels": levels, "clusters": {"4": False}}})
    code, before, err = explain(report["output"], "--cluster", "0_1")
    assert (code, err) == (0, "")
    assert before.count(", by this run") == 2
    levels[3] = {"n_neighbors": 10}
    report = one(forms["h5ad"], {"hierarchy": {"levels": levels, "clusters": {"4": False}}})
    code, out, _ = explain(report["output"], "--cluster", "0_1_0")
    assert (code, out.count(", taken from the cache"), out.count(", by this run")) == (0, 2, 1)
    keys = [line for line in before.splitlines() if line.startswith("  key")]
    assert [line for line in out.splitlines() if line.startswith("  key")][:2] == keys
    assert len(out.splitlines()) <= 40

    code, out, _ = explain(report["output"], "--cluster", "4_0_0")
    assert code == 0
    assert out.count("left whole") == 2
    assert out.count("  reason     not asked for") == 2
    small = load(report["output"]).uns["clustering"]["tree"].query("level == 1 and reason.str.startswith('too small')")
    label = small["cluster"].iloc[0]
    assert f"  reason     {small['reason'].iloc[0]}" in explain(report["output"], "--cluster", f"{label}_0")[1]

    for arguments, said in (
        (["--cluster", "77"], "no column has a cluster '77'"),
        (["--cluster", "0", "--column", "leidn_0.5_1"], "did you mean `leiden_0.5_1`?"),
        (["--cluster", "0_1", "--column", "leiden_0.5_1"], "it is in leiden_0.5_2"),
    ):
        code, out, err = explain(report["output"], *arguments)
        assert (code, out) == (2, "")
        assert said in err
        assert len(err.splitlines()) <= 10
    assert explain(forms["h5ad"], "--cluster", "0")[0] == 2
    assert explain(tmp_path / "absent.zarr")[0] == 2


def test_it_imports_neither_prefect_nor_scanpy(forms: dict[str, Path], cluster: Cluster, tmp_path: Path) -> None:
    assert cluster(forms["zarr"], "l1.zarr")[0] == 0
    code = (
        "import sys; from cellstrata.flows.commands.command import main\n"
        "assert main(['explain', 'l1.zarr', '--cluster', '0']) == 0\n"
        "assert not {'prefect', 'scanpy', 'umap', 'igraph', 'faiss'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), check=True, timeout=60)


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "x.zarr", "--clusters", "3"])
    assert ended.value.code == 2
    assert "--clusters" in capsys.readouterr().err
