"""`cs.tl.cluster`: the splits, keys and labels of `run`, on an AnnData in memory and without Prefect."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import cellstrata as cs
from cellstrata.flows.notebook import memory_run
from cellstrata.tasks.cache.leases import live_leases
from cellstrata.tasks.elements.linked_anndata import open_linked
from tests.flows.conftest import Run
from tests.flows.planted import LARGE, SMALL, N, planted
from tests.no_warnings import no_warnings
from tests.tasks.small import cache_at

SETTINGS: dict[str, Any] = {"resolutions": [0.2, 0.5], "hierarchy": 3, "ensemble": 2, "batch_keys": ["group"]}


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Any]:
    """`cs.tl.cluster` in this process alone, silent, with the cache of `one`."""

    def cluster(adata: Any, *arguments: Any, **more: Any) -> Any:
        return cs.tl.cluster(
            adata, *arguments, **{"cache": tmp_path / "cache", "runner": "threads", "progress": False, **more}
        )

    return cluster


def tree(adata: ad.AnnData, key: str = "clustering") -> pd.DataFrame:
    found: pd.DataFrame = adata.uns[key]["tree"]
    return found


@pytest.mark.parametrize("first", ["run", "call"])
def test_run_and_call_find_what_the_other_has_computed(
    first: str, one: Run, call: Callable[..., Any], blobs: Path, tmp_path: Path
) -> None:
    adata, how = ad.read_h5ad(blobs), {**SETTINGS, "algorithm": ["leiden", "louvain"]}
    asked = {**how, "neighbors": {"use_rep": "X_latent", "n_neighbors": 12}, "recompute_neighbors": True}
    if first == "run":
        report = one(blobs, asked)
        call(adata, use_rep="X_latent", n_neighbors=12, **how)
        assert report["splits"]["executed"]
        assert tree(adata).query("key != ''")["from_cache"].all()
    else:
        call(adata, use_rep="X_latent", n_neighbors=12, **how)
        assert not tree(adata).query("key != ''")["from_cache"].all()
        report = one(blobs, asked)
        assert report["splits"]["executed"] == 0
    result = open_linked(report["output"])
    assert [*report["columns"]] == [name for name in adata.obs if name != "group"]
    for name in report["columns"]:
        pd.testing.assert_series_equal(adata.obs[name], result.obs[name])
        assert list(adata.uns[f"{name}_colors"]) == list(result.uns[f"{name}_colors"])
    np.testing.assert_array_equal(adata.obsm["clustering_stability"], result.obsm["clustering_stability"])
    apart = ["seconds", "created", "from_cache"]
    written = result.uns["clustering"]["tree"].drop(columns=apart)
    pd.testing.assert_frame_equal(tree(adata).drop(columns=apart), written, check_dtype=False)  # texts, of pandas 3
    mine, theirs = adata.uns["clustering"], result.uns["clustering"]
    assert set(mine) == set(theirs)
    assert all(mine[name] == theirs[name] for name in ("columns", "stability", "graph", "made_by", "versions"))


def test_a_result_that_anndata_wrote_is_read_by_the_commands(call: Callable[..., Any], tmp_path: Path) -> None:
    from cellstrata.tasks.results.record import read_result
    from cellstrata.tasks.stores.places import Place

    adata = planted()
    call(adata, [0.1], hierarchy=3)
    adata.write_h5ad(tmp_path / "mine.h5ad")
    again = ad.read_h5ad(tmp_path / "mine.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    record = read_result(Place(str(tmp_path / "mine.h5ad")))
    assert record.columns() == ["leiden_0.1_1", "leiden_0.1_2", "leiden_0.1_3"]
    assert record.rows.above("leiden_0.1_3") == record.columns()


def test_planted_clusters_are_found_in_a_view_which_becomes_an_anndata(call: Callable[..., Any]) -> None:
    whole = planted()
    half = whole[np.arange(N) % 2 == 0]
    with pytest.warns(ad.ImplicitModificationWarning):
        call(half, 0.1)
    assert not half.is_view
    assert not [name for name in whole.obs if name.startswith("leiden")]
    large = pd.crosstab(half.obs["leiden_0.1_1"], np.array(LARGE)[::2])
    small = pd.crosstab(half.obs["leiden_0.1_2"], np.array(SMALL)[::2])
    assert (large.gt(0).sum() == 1).all()
    assert (small.gt(0).sum() == 1).all()


def test_a_copy_has_the_clusters_and_the_rest_stays(call: Callable[..., Any], tmp_path: Path) -> None:
    adata = planted()
    before = adata.copy()
    own = call(adata, [0.1], copy=True)
    assert "leiden_0.1_2" in own.obs
    assert "clustering" not in adata.uns
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert call(adata, [0.1]) is None
    assert set(adata.uns) - set(before.uns) == {"clustering", "leiden_0.1_1_colors", "leiden_0.1_2_colors"}
    whole = ad.AnnData(np.ones((N, 2), np.float32), obs=adata.obs, obsm=dict(adata.obsm))
    whole.write_h5ad(tmp_path / "backed.h5ad")
    backed = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    written = (tmp_path / "backed.h5ad").read_bytes()
    copied = call(backed, [0.2], copy=True)
    call(backed, [0.2])
    assert list(copied.obs["leiden_0.2_1"]) == list(backed.obs["leiden_0.2_1"])
    assert (tmp_path / "backed.h5ad").read_bytes() == written


def test_levels_that_no_longer_are_go_and_other_trees_stay(
    call: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    adata = planted()
    call(adata, [0.1], hierarchy=3)
    call(adata, [0.3], hierarchy=1)
    assert {"leiden_0.1_3", "leiden_0.3_1"} < set(adata.obs)
    call(adata, [0.1], hierarchy=3)
    call(adata, [0.1], hierarchy=2)
    assert caplog.messages[-1].startswith("adata: leiden_0.1_3 is removed")
    assert "leiden_0.1_3" not in adata.obs
    assert "leiden_0.1_3_colors" not in adata.uns
    assert {"leiden_0.1_2", "leiden_0.3_1"} < set(adata.obs)


def test_key_added_keeps_two_clusterings_apart(call: Callable[..., Any]) -> None:
    adata = planted()
    call(adata, [0.1], ensemble=2)
    call(adata, [0.1], hierarchy=3, ensemble=2, key_added="fine")
    assert list(tree(adata, "fine")["column"].unique()) == [f"fine_leiden_0.1_{level}" for level in (1, 2, 3)]
    assert list(json.loads(adata.uns["fine"]["columns"])) == json.loads(adata.uns["fine"]["stability"])
    assert adata.obsm["fine_clustering_stability"].shape == (N, 3)
    assert (adata.obs["fine_leiden_0.1_2"] == adata.obs["leiden_0.1_2"]).all()
    adata.uns["other"] = {}
    with pytest.raises(cs.InputError, match=r"adata: uns\['other'\].*choose another"):
        call(adata, [0.1], key_added="other")


def test_what_is_wrong_is_said_by_the_names_of_arguments(call: Callable[..., Any]) -> None:
    adata = planted()
    for wrong, said in (
        ({"resolutions": "0,5"}, r"^resolutions: "), ({"resolutions": [0.5, -1]}, r"^resolutions\[1\]: "),
        ({"metric": "cosin"}, r"^metric: .*did you mean `cosine`"), ({"n_neighbours": 5}, r"^n_neighbours: "),
        ({"umap_colors": ["a"]}, "for results in files"), ({"workers": 0}, r"^workers: "),
    ):  # fmt: skip
        with pytest.raises(cs.ConfigError, match=said):
            call(adata, **{"resolutions": [0.5], **wrong})
    with pytest.raises(cs.UnusableAnnData, match=r"^adata: obsm\['X_pcb'\]: .*did you mean `X_pca`"):
        call(adata, use_rep="X_pcb")
    with pytest.raises(TypeError, match="not str; of a file"):
        call("atlas.h5ad")
    assert set(adata.uns) == {"neighbors"}


def test_rules_on_marker_genes_find_the_values(one: Run, call: Callable[..., Any], pbmc: Path) -> None:
    adata = ad.read_h5ad(pbmc)
    how: dict[str, Any] = {"hierarchy": 2, "stop": {"min_markers": 2}, "markers": {"raw": True, "n_genes": 5}}
    call(adata, [0.5], ensemble=1, **how)
    assert tree(adata)["markers"].notna().any()
    assert "markers" in cs.get.tree(adata)
    assert one(pbmc, how)["splits"]["executed"] == 0
    with pytest.raises(cs.UnusableAnnData, match=r"^adata: layers\['counts'\]"):
        call(adata, [0.5], stop={"min_markers": 2}, markers={"layer": "counts"})
    with pytest.raises(cs.ConfigError, match=r"call `cs\.tl\.markers` afterwards"):
        call(adata, [0.5], markers=True)


@pytest.mark.parametrize("how", [{"embedding": "hvg_pca"}, {"use_rep": None}])
def test_values_go_to_where_they_are_needed(
    how: dict[str, Any], one: Run, call: Callable[..., Any], pbmc: Path
) -> None:
    adata = ad.read_h5ad(pbmc)
    more: dict[str, Any] = {"hierarchy": 2, "embedding": {"method": "hvg_pca", "raw": True, "n_top_genes": 100}}
    if "use_rep" in how:
        del adata.obsm["X_pca"]
        adata.obsp.clear(), adata.uns.pop("neighbors")
        more = {"hierarchy": 1}
    call(adata, [0.5], ensemble=1, **more)
    if "use_rep" in how:
        assert adata.obsm["X_pca"].shape == (700, 50)
        assert adata.obsm["X_pca"].dtype == np.float32
        return
    report = one(pbmc, more)
    assert report["splits"]["executed"] == 0


def test_a_loop_that_runs_is_left_alone(call: Callable[..., Any]) -> None:
    async def cell() -> int:
        adata = planted()
        call(adata, [0.1])
        return adata.obs["leiden_0.1_1"].nunique()

    assert asyncio.run(cell()) == 3


def test_the_bar_tells_of_all_cells_and_levels(call: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with no_warnings():
        call(planted(), [0.1], hierarchy=2, progress=True)
    assert f"{2 * N}/{2 * N}" in capsys.readouterr().err


SCRIPT = """
    import os, sys
    print("begins")
    import cellstrata as cs
    import anndata as ad
    adata = ad.read_h5ad({path!r})
    before = dict(os.environ)
    cs.tl.cluster(adata, [0.5], hierarchy=2, use_rep="X_latent", cache={cache!r}, workers=2, grain=500)
    assert dict(os.environ) == before
    assert "prefect" not in sys.modules
    adata.obs["leiden_0.5_2"].to_csv("labels.csv")
"""


def test_a_script_without_a_guard_is_run_once_and_prefect_is_not_loaded(
    blobs: Path, call: Callable[..., Any], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(path=str(blobs), cache=str(tmp_path / "processes"))))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=180, cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begins"]
    adata = ad.read_h5ad(blobs)
    call(adata, [0.5], use_rep="X_latent")
    found = pd.read_csv(tmp_path / "labels.csv", index_col=0, dtype=str)["leiden_0.5_2"]
    assert list(found) == list(adata.obs["leiden_0.5_2"])


def test_the_cache_is_held_from_before_the_first_look_at_an_anndata(
    call: Callable[..., Any], blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, inspect = [], memory_run.inspect_memory

    def looks(*arguments: Any, **keywords: Any) -> Any:
        held.append(len(live_leases(cache_at(tmp_path / "cache"))))
        return inspect(*arguments, **keywords)

    monkeypatch.setattr(memory_run, "inspect_memory", looks)
    call(ad.read_h5ad(blobs), resolutions=[0.2], use_rep="X_latent")
    assert held == [1]
    assert not live_leases(cache_at(tmp_path / "cache"))
