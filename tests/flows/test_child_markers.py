"""A rule that asks for genes, in real runs: a split without genes is refused, whatever computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy
import scipy.sparse as sp

from cellstrata.tasks.results.explain import explain
from cellstrata.tasks.stores.places import Place
from tests.flows.commands.test_command import config
from tests.flows.conftest import Command, Run
from tests.flows.outputs import entries, labels, tree_of

SIZE, GENES, OWN = 110, 150, 12
BASE: dict[str, Any] = {"resolutions": [0.05], "recompute_neighbors": True, "neighbors": {"use_rep": "X_latent"}}
BASE |= {"hierarchy": {"levels": {2: {"resolution": 0.3}}}}
RULE: dict[str, Any] = BASE | {"stop": {"min_markers": 5, "log_fold_change": 1}}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups with genes of their own; both are two in the embedding, but only the parts of one have genes."""
    rng = np.random.default_rng(0)
    leaf = np.repeat(np.arange(4), SIZE)  # 0 and 1 with genes, 2 and 3 without
    mean = np.full((4 * SIZE, GENES), 0.3)
    for part, cells in enumerate((leaf == 0, leaf == 1, leaf < 2, leaf > 1)):
        mean[np.ix_(cells, np.arange(part * OWN, (part + 1) * OWN))] = 3.0
    counts = rng.poisson(mean).astype(np.float32)
    middles = np.array([[9, 1.5], [9, -1.5], [-9, 1.5], [-9, -1.5]])
    latent = np.hstack([middles[leaf], np.zeros((4 * SIZE, 6))]) + rng.normal(size=(4 * SIZE, 8)) * 0.8
    order = rng.permutation(4 * SIZE)
    data = anndata.AnnData(sp.csr_matrix(counts[order]), obsm={"X_latent": latent[order].astype(np.float32)})
    data.obs["leaf"] = leaf[order].astype(str)
    data.layers["counts"] = data.X.copy()
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    path: Path = tmp_path_factory.mktemp("genes") / "cells.h5ad"
    data.write_h5ad(path)
    return path


def test_a_split_without_genes_is_refused_and_one_with_genes_stands(one: Run, file: Path, tmp_path: Path) -> None:
    bare = one(file, BASE)
    assert labels(bare)["leiden_0.05_2"].nunique() == 4
    report = one(file, RULE, out="judged")
    assert report["splits"]["executed"] == 0
    table = pd.crosstab(anndata.read_zarr(report["output"]).obs["leaf"], labels(report)["leiden_0.05_2"])
    assert table.shape == (4, 3)
    assert table.loc[["2", "3"]].max(axis=1).tolist() == [SIZE, SIZE]  # both parts in one cluster
    tree = tree_of(report)
    (root,) = tree.query("level == 0")["children_markers"]
    assert min(map(int, root.split(", "))) >= OWN
    first = tree.query("level == 1").sort_values("reason")
    assert first["reason"].tolist() == ["", "too few markers: 0 in the second child (needs 5)"]
    kept, refused = first["children_markers"]
    assert all(int(number) >= OWN for number in kept.split(", "))
    assert refused == "0, 0"
    assert first["n_children"].tolist() == [2, 1]
    assert (tree.query("level == 2")["markers"] >= OWN).all()  # one that was left whole has those of the last split
    before = {kind: entries(tmp_path, kind) for kind in ("child_markers", "split")}
    assert [len(found) for found in before.values()] == [3, 3]

    own = {"resolution": 0.3, "stop": {"min_markers": 60, "log_fold_change": 0.5}}
    other = one(file, RULE | {"hierarchy": {"levels": {2: own}}}, out="other bound")
    assert other["splits"]["executed"] == 0
    assert tree_of(other).query("level == 1")["reason"].str.endswith("(needs 60)").all()
    assert {kind: entries(tmp_path, kind) for kind in before} == before

    key = sorted(before["child_markers"])[0]
    (path,) = (tmp_path / "cache").rglob(f"{key}.json")
    path.write_text(path.read_text().replace('"seconds":', '"seconds":9'))
    again = one(file, RULE, out="again")
    assert labels(again).equals(labels(report))
    after = entries(tmp_path, "child_markers")
    assert {each for each in after if after[each] != before["child_markers"][each]} == {key}


def test_any_runner_grain_and_form_gives_the_same(one: Run, file: Path, tmp_path: Path) -> None:
    asked = BASE | {"resolutions": [0.05, 1.0], "hierarchy": 3, "stop": {"min_markers": 2}, "ensemble": 2}
    first = one(file, asked)
    assert tree_of(first)["reason"].str.startswith("too few markers").sum() > 2
    data = anndata.read_h5ad(file)
    data.X = sp.csc_matrix(data.X)
    data.write_h5ad(tmp_path / "by genes.h5ad")
    for name, how in {"processes": {"runner": "processes", "grain": 50}, "by genes": {"grain": 5000}}.items():
        source = tmp_path / "by genes.h5ad" if name == "by genes" else file
        other = one(source, asked, out=name, cache=str(tmp_path / f"cache of {name}"), **how)
        assert labels(other).equals(labels(first)), name
        said = ["cluster", "reason", "children_markers", "markers"]
        pd.testing.assert_frame_equal(tree_of(other)[said], tree_of(first)[said])


def test_with_evidence_and_until_stable_and_found_anew(one: Run, file: Path, tmp_path: Path) -> None:
    draws = {"evidence": {"halves": 2, "null": 2}, "hierarchy": "until_stable"}
    asked = BASE | draws | {"stop": {"replicability": 0.3, "min_markers": 5}}
    report = one(file, asked)
    assert labels(report).iloc[:, -1].nunique() == 3
    tree = tree_of(report)
    refused = tree[tree["reason"].str.startswith("too few markers") & (tree["key"] != "")]
    assert len(refused)
    assert (refused["replicability"] >= 0.3).all()  # halves come first
    before = entries(tmp_path, "child_markers")
    again = one(file, asked, out="again", refresh=True)
    assert labels(again).equals(labels(report))
    after = entries(tmp_path, "child_markers")
    assert set(after) == set(before)
    assert all(after[key] > before[key] for key in before)


def test_counts_and_values_that_are_not_there_are_told_before_any_work(
    file: Path, command: Command, tmp_path: Path, one: Run
) -> None:
    data = anndata.read_h5ad(file)
    data.X = data.layers["counts"]
    data.write_h5ad(tmp_path / "counts.h5ad")
    done = command("run", config(tmp_path, tmp_path / "counts.h5ad", **RULE))
    assert done.returncode == 2
    for part in ("which are counts", "`stop: min_markers` asks for it", "`markers: {layer: counts, normalize: true}`"):
        assert part in done.stderr
    done = command("run", config(tmp_path, file, **(RULE | {"markers": {"layer": "none"}})))
    assert done.returncode == 2
    assert done.stderr.count("is not in the file") == 1
    assert not list((tmp_path / "out").rglob("*.zarr"))
    named = {"markers": {"normalize": True}}
    report = one(tmp_path / "counts.h5ad", RULE | named)
    assert tree_of(report)["reason"].str.startswith("too few markers: 0").sum() == 1


def test_what_plan_explain_and_the_report_tell(one: Run, file: Path, command: Command, tmp_path: Path) -> None:
    one(file, BASE)
    path = config(tmp_path, file, ensemble=1, **RULE)
    assert "1 without markers of children yet" in command("plan", path).stdout
    report = one(file, RULE, report=True)
    planned = command("plan", path)
    assert "nothing to compute" in planned.stderr + planned.stdout
    assert "1 too few markers" in planned.stdout
    first = tree_of(report).query("level == 1").set_index("reason")["cluster"]
    refused = first["too few markers: 0 in the second child (needs 5)"]
    explained = command("explain", report["output"], "--cluster", refused, "--column", "leiden_0.05_1").stdout
    assert "over the sister that is most alike, its children have 0, 0 markers" in explained
    below = explain(Place(report["output"]), f"{first['']}_0", column="leiden_0.05_2")
    assert below.levels[-1].own is not None
    assert (below.levels[-1].own.markers or 0) >= OWN
    page = Path(report["report"]).read_text()
    assert "too few markers: 0 in the second child" in page
    assert '"markers":[' in page.replace(" ", "")
