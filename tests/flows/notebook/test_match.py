"""`cs.tl.match`: the ids of an earlier AnnData, or of a result, in all that was written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
import pytest

import cellstrata as cs
from cellstrata.configs.errors import ConfigError
from cellstrata.tasks.stores.data_errors import InputError
from tests.tasks.matching.atlas import FIRST, HIERARCHY, SECOND, atlas, without_most_of_the_largest


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return atlas()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def clustered(adata: ad.AnnData, cache: Path, **more: Any) -> ad.AnnData:
    how = {"use_rep": "X_latent", "n_neighbors": 30, "ensemble": 1, "runner": "threads", "progress": False, **more}
    found = cs.tl.cluster(adata, 0.1, hierarchy=HIERARCHY, cache=cache, copy=True, **how)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def earlier(cells: ad.AnnData, cache: Path) -> ad.AnnData:
    return clustered(cells, cache)


def same_ids(adata: ad.AnnData, earlier: ad.AnnData, prefix: str = "") -> bool:
    names = adata.obs_names
    return all((adata.obs[prefix + c].astype(str) == earlier.obs[c].astype(str)[names]).all() for c in (FIRST, SECOND))


def test_everything_has_the_ids_of_the_earlier_one(cells: ad.AnnData, earlier: ad.AnnData, cache: Path) -> None:
    adata = clustered(without_most_of_the_largest(cells), cache)
    cs.tl.markers(adata)
    by_size = adata.copy()
    assert not same_ids(adata, earlier)
    copied = cs.tl.match(adata, earlier, copy=True)
    assert copied is not None
    assert adata.obs.equals(by_size.obs)
    assert cs.tl.match(adata, earlier) is None
    assert adata.obs.equals(copied.obs)
    assert same_ids(adata, earlier)
    tree, plain = cs.get.tree(adata), cs.get.tree(by_size)
    for column in (FIRST, SECOND):
        rows = tree[tree["column"] == column]
        assert dict(zip(rows["cluster"], rows["n_cells"], strict=True)) == adata.obs[column].value_counts().to_dict()
        assert list(rows["cluster"]) == list(adata.obs[column].cat.categories)
        assert len(adata.uns[f"{column}_colors"]) == len(rows)
        names = dict(zip(by_size.obs[column].astype(str), adata.obs[column].astype(str), strict=True))
        for own, other in names.items():
            mine, theirs = cs.get.markers(adata, column, other), cs.get.markers(by_size, column, own)
            assert list(mine["gene"]) == list(theirs["gene"])
    assert list(adata.uns[f"{FIRST}_colors"]) == list(earlier.uns[f"{FIRST}_colors"])
    assert (cs.get.markers(adata, SECOND)["parent"] == cs.get.markers(adata, SECOND)["cluster"].str[0]).all()
    assert not tree["new"].any()
    assert list(tree["overlap"]) == [1.0] * len(tree)
    assert set(tree) - set(plain) == {"was", "overlap", "new", "split_from", "merged_from"}
    assert adata.uns["clustering"]["publish_key"] != by_size.uns["clustering"]["publish_key"]
    again = adata.copy()
    cs.tl.match(again, earlier)
    assert again.obs.equals(adata.obs)
    pd.testing.assert_frame_equal(cs.get.tree(again), tree)


def test_a_result_on_disk_and_the_key_match_of_a_call(
    cells: ad.AnnData, earlier: ad.AnnData, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    earlier.write_h5ad(tmp_path / "earlier.h5ad")
    before = (tmp_path / "earlier.h5ad").read_bytes()
    adata = clustered(without_most_of_the_largest(cells), cache)
    cs.tl.match(adata, tmp_path / "earlier.h5ad")
    assert same_ids(adata, earlier)
    called = clustered(without_most_of_the_largest(cells), cache, match=str(tmp_path / "earlier.h5ad"))
    assert called.obs.equals(adata.obs)
    pd.testing.assert_frame_equal(cs.get.tree(called), cs.get.tree(adata))
    assert (tmp_path / "earlier.h5ad").read_bytes() == before
    adata.write_h5ad(tmp_path / "matched.h5ad")
    read = ad.read_h5ad(tmp_path / "matched.h5ad")
    assert cs.get.tree(read)["was"].tolist() == cs.get.tree(adata)["was"].tolist()
    assert json.loads(read.uns["clustering"]["match"])["cells"]["shared"] == adata.n_obs


def test_keys_that_were_added_are_no_part_of_a_columns_name(
    cells: ad.AnnData, earlier: ad.AnnData, cache: Path
) -> None:
    adata = clustered(without_most_of_the_largest(cells), cache, key_added="own")
    cs.tl.match(adata, earlier, key="own")
    assert same_ids(adata, earlier, "own_")
    other = clustered(without_most_of_the_largest(cells), cache)
    cs.tl.match(other, adata, earlier_key="own")
    assert same_ids(other, earlier)


def test_new_ids_are_told_and_retired_ones_kept_in_mind(
    cells: ad.AnnData, earlier: ad.AnnData, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Group 0 is left out, comes back, and has another id: over three generations."""
    without = clustered(cells[110:].copy(), cache)
    cs.tl.match(without, earlier)
    assert set(without.obs[FIRST]) == {"1", "2", "3"}
    assert json.loads(without.uns["clustering"]["match"])["retired"] == {FIRST: ["0"], SECOND: ["0_0", "0_1"]}
    back = clustered(cells, cache)
    cs.tl.match(back, without)
    assert set(back.obs[FIRST]) == {"1", "2", "3", "4"}
    assert set(back.obs[FIRST][:110]) == {"4"}
    assert json.loads(back.uns["clustering"]["match"])["retired"] == {FIRST: ["0"]}
    assert "9 of 12 clusters keep their ids" in caplog.text
    colors = dict(zip(back.obs[FIRST].cat.categories, back.uns[f"{FIRST}_colors"], strict=True))
    theirs = dict(zip(earlier.obs[FIRST].cat.categories, earlier.uns[f"{FIRST}_colors"], strict=True))
    assert {label: colors[label] for label in "123"} == {label: theirs[label] for label in "123"}
    assert colors["4"] not in theirs.values()


def test_what_cannot_be_matched_is_refused_and_nothing_changes(
    cells: ad.AnnData, earlier: ad.AnnData, cache: Path, tmp_path: Path
) -> None:
    adata, other = clustered(cells, cache), earlier.copy()
    before = adata.copy()
    other.obs_names = [f"other {name}" for name in other.obs_names]
    for there, words in (
        (cells, "has no clusters of cellstrata"),
        (other, "shares no cell by name"),
        (str(tmp_path / "nowhere.zarr"), "nowhere"),
    ):
        with pytest.raises(InputError, match=words):
            cs.tl.match(adata, there)
    with pytest.raises(InputError, match="has no clusters of cellstrata"):
        cs.tl.match(cells.copy(), earlier)
    with pytest.raises(ConfigError, match="match: must be a path or URL"):
        clustered(cells, cache, match=earlier)
    assert adata.obs.equals(before.obs)
    renamed = earlier.copy()
    renamed.obs[SECOND] = renamed.obs[SECOND].cat.rename_categories({"0_0": "mine"})
    cs.tl.match(adata, renamed)
    assert adata.obs[FIRST].equals(earlier.obs[FIRST])
    assert set(adata.obs[SECOND]) == {f"{group}_{part}" for group in "0123" for part in "23"}, (
        "none is told, none given"
    )
