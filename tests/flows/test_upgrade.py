"""What version 0.1.0 left (revision 4e15628): today's commands read its results, its cache and its configuration.

`tests/fixtures/0.1.0/files.tar.xz` holds what that revision wrote in a folder `/tmp/atlas`: `blobs.h5ad` of `make.py`
there, the result of `atlas.yaml` in `out` (converted) and in `linked` (`link: reference`), and the cache of both runs
and of a third one, which clustered `out` at resolution 0.8 on its stored graph.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cellstrata import open_linked
from cellstrata.configs.loading.load import load_config
from cellstrata.flows.commands.command import main
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import write_report
from tests import ROOT
from tests.tasks.finished_results import make_result
from tests.tasks.small import cache_at

OF_THEN = ROOT / "tests" / "fixtures" / "0.1.0"
RESULT = "clustering/dataset~blobs/file_id~cells.zarr"
Call = Callable[..., str]
COLUMNS = [f"leiden_{resolution}_{level}" for resolution in (0.1, 0.5) for level in (1, 2)]


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as 0.1.0 left them, in a folder of this test: the document that refers to the input names it there."""
    folder = tmp_path_factory.mktemp("then")
    with tarfile.open(OF_THEN / "files.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    document = folder / "linked" / RESULT / "references.json"
    text = document.read_text().replace("/tmp/atlas/", f"{folder}/")
    document.write_text(text)
    changed = json.loads(text)["cellstrata"]["sources"][0]["mtime_ns"]
    os.utime(folder / "blobs.h5ad", ns=(changed, changed))
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """A command in this process: what it printed."""

    def called(*arguments: object) -> str:
        capsys.readouterr()
        code = main(list(map(str, arguments)))
        printed = capsys.readouterr()
        assert (code, printed.err) == (0, ""), printed
        return printed.out

    return called


def test_results_are_read(then: Path) -> None:
    plain, linked = ad.read_zarr(then / "out" / RESULT), open_linked(str(then / "linked" / RESULT))
    source = ad.read_h5ad(then / "blobs.h5ad")
    assert list(plain.obs) == list(linked.obs) == ["cell_type", *COLUMNS]
    pd.testing.assert_frame_equal(plain.obs, linked.obs)
    assert (linked.X != source.X).nnz == 0
    assert (linked.obsm["X_pca"] == source.obsm["X_pca"]).all()
    assert {"column", "cluster", "parent", "key", "reason"} <= set(plain.uns["clustering"]["tree"])


def test_commands_take_results(then: Path, call: Call, tmp_path: Path) -> None:
    plain, linked = then / "out" / RESULT, then / "linked" / RESULT
    sizes = ad.read_zarr(plain).obs["leiden_0.5_2"].value_counts().to_dict()
    for result in (plain, linked):
        said = json.loads(call("explain", result, "--cluster", "2_1", "--column", "leiden_0.5_2", "--json"))
        assert [level["cluster"] for level in said["levels"]] == ["2", "2_1"]
        assert said["n_cells"] == sizes["2_1"]
    pairs = json.loads(call("compare", plain, linked.with_suffix("") / "labels.parquet", "--json"))["pairs"]
    assert [(pair["first"]["column"], pair["ari"]) for pair in pairs] == [(column, 1) for column in COLUMNS]
    call("markers", linked, "--normalize", "--columns", "leiden_0.5_1")
    table = pq.read_table(linked.with_suffix("") / "markers.parquet").to_pandas()
    best = table[table["against"] == "all"].groupby("cluster", observed=True)["gene"].first()
    assert sorted(best) == [f"GENE{cloud}" for cloud in range(6)]
    call("materialize", linked, tmp_path / "whole.zarr")
    assert ad.read_zarr(tmp_path / "whole.zarr").obs["leiden_0.5_2"].value_counts().to_dict() == sizes


def test_the_cache_is_sound_and_says_what_it_holds(then: Path, call: Call) -> None:
    info = json.loads(call("cache", "info", "--cache", then / "cache", "--json"))
    counts = {kind: said["count"] for kind, said in info["kinds"].items()}
    assert counts == {"graph": 2, "knn": 1, "split": 9, "input": 2, "bundle": 2}
    assert (info["foreign"], info["other_schemes"], info["unreadable"]) == ([], {}, [])
    verified = json.loads(call("cache", "verify", "--cache", then / "cache", "--json"))
    assert verified["sound"]
    assert (verified["records"]["count"], verified["arrays"]["count"]) == (16, 1)


def test_its_configuration_runs_again(then: Path, tmp_path: Path) -> None:
    """The changelog: neighbors are searched anew, labels of ordinary embeddings stay; `ensemble: 1` is what it was."""
    loaded, notices = load_config(str(OF_THEN / "atlas.yaml"))
    asked = loaded.DATASETS["blobs"].clustering.model_dump(exclude_unset=True) | {"ensemble": 1}
    shutil.copytree(then / "cache", tmp_path / "cache")
    before = ad.read_zarr(then / "out" / RESULT)
    made = make_result(tmp_path, str(then / "blobs.h5ad"), asked)
    assert notices == []
    known = {path.stem for path in (then / "cache" / "v1" / "records").rglob("*.json")}
    assert not known & {outcome.key for tree in made.trees for outcome in tree.outcomes.values()}
    now = ad.read_zarr(made.url)
    pd.testing.assert_frame_equal(now.obs, before.obs)


def test_splits_of_a_stored_graph_are_found(then: Path, tmp_path: Path) -> None:
    """Those keys did not change: the level that 0.1.0 split on the graph of an input is not split again."""
    shutil.copytree(then / "cache", tmp_path / "cache")
    asked = {"resolutions": [0.8], "recompute_neighbors": False, "ensemble": 1, "engine": "igraph"}
    made = make_result(tmp_path, str(then / "out" / RESULT), asked)
    outcomes = list(made.trees[0].outcomes.values())
    same_igraph = version("igraph") == "1.0.0"  # then's, which is part of the key
    assert [outcome.executed for outcome in outcomes if outcome.key] == [not same_igraph]
    again = make_result(tmp_path, str(then / "out" / RESULT), asked | {"resolutions": [0.9]}, out="other")
    assert [outcome.executed for outcome in again.trees[0].outcomes.values() if outcome.key] == [True]


def test_a_result_is_replaced_and_a_report_written_of_it(then: Path, tmp_path: Path) -> None:
    """A run of today writes over the result of 0.1.0, which is ours, and says all that a report wants."""
    loaded, _ = load_config(str(OF_THEN / "atlas.yaml"))
    asked = loaded.DATASETS["blobs"].clustering.model_dump(exclude_unset=True) | {"ensemble": 1}
    target = tmp_path / "out" / "clustering" / "dataset~d" / "file_id~f.zarr"
    shutil.copytree(then / "out" / RESULT, target)
    made = make_result(tmp_path, str(then / "blobs.h5ad"), asked)
    assert (made.url, made.written) == (str(target), True)
    assert "stability" in ad.read_zarr(target).uns["clustering"]["tree"]
    page = write_report(
        made.finished,
        RunFacts(executed=0, cached=0, seconds=1.0),
        str(tmp_path / "images"),
        cache_at(tmp_path / "cache"),
        {},
    )
    assert (page.problem, page.written) == (None, True)


def test_the_scheme_of_the_cache_changes_with_a_word_in_the_changelog() -> None:
    """Another number makes every cache cold: whoever changes it says so, and why."""
    said = re.findall(r"^- \*\*The cache has scheme (\d+)\*\*,? since \w+", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert said[:1] == [str(SCHEME)], f"no line `- **The cache has scheme {SCHEME}** since …` says why it is another"
