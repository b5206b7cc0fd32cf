"""Inputs that are results: what an earlier run made and this one does not make is left out, with a notice."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
import pytest

from tests.tasks.finished_results import make_result, write_input
from tests.tasks.small import CELLS


def read(url: str) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ad.read_zarr(url)


def part_of(result: str, folder: Path, form: str) -> str:
    """Write the cells of the result's first cluster; return the path."""
    adata = read(result)
    part = adata[adata.obs["leiden_0.5_1"] == "0"].copy()
    part.obs["leiden_mine_1"] = "x"
    path = folder / f"part.{form}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part.write_h5ad(path) if form == "h5ad" else part.write_zarr(path)
    return str(path)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_columns_of_an_earlier_run_are_left_out(form: str, tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS, batch=["a", "b"] * (len(CELLS) // 2))
    first = make_result(tmp_path, source, {"hierarchy": 2, "resolutions": [0.5, 1.0]})
    part = part_of(first.url, tmp_path, form)
    again = make_result(tmp_path, part, {}, "again")
    found = read(again.url)
    assert list(found.obs) == ["batch", "leiden_0.5_1", "leiden_mine_1"]
    assert set(json.loads(found.uns["clustering"]["columns"])) == {"leiden_0.5_1"}
    assert [name for name in found.uns if name.endswith("_colors")] == ["leiden_0.5_1_colors"]
    (notice,) = [notice for notice in again.finished.source.notices if "earlier run" in notice]
    assert notice.endswith("leiden_0.5_2, leiden_1.0_1, leiden_1.0_2")
    assert {"leiden_0.5_2", "leiden_1.0_1"} <= set(read(part if form == "zarr" else first.url).obs)  # not touched
    assert not make_result(tmp_path, part, {}, "again").written


def test_the_stability_that_an_earlier_run_left_is_never_mixed_with_new_labels(tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS)
    first = make_result(tmp_path, source, {"hierarchy": 2, "ensemble": 2, "stability": "obs"})
    both = ["leiden_0.5_1_stability", "leiden_0.5_2_stability"]
    assert [name for name in read(first.url).obs if name.endswith("stability")] == both
    single = make_result(tmp_path, first.url, {"ensemble": 1, "stability": "obs"}, "single")
    found = read(single.url)
    assert list(found.obs) == ["leiden_0.5_1"]
    assert "clustering_stability" not in found.obsm
    (notice,) = [notice for notice in single.finished.source.notices if "earlier run" in notice]
    assert notice.endswith(": leiden_0.5_2, leiden_0.5_2_stability")
    again = read(make_result(tmp_path, first.url, {"ensemble": 2, "stability": "obs"}, "again").url)
    assert list(again.obs) == ["leiden_0.5_1", "leiden_0.5_1_stability"]
    assert again.obsm["clustering_stability"].shape == (len(CELLS), 1)


def test_the_same_columns_again_are_no_earlier_ones(tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS)
    first = make_result(tmp_path, source, {"hierarchy": 2})
    again = make_result(tmp_path, first.url, {"hierarchy": 2}, "again")
    assert list(read(again.url).obs) == ["leiden_0.5_1", "leiden_0.5_2"]
    assert not [notice for notice in again.finished.source.notices if "earlier run" in notice or "kept" in notice]
    kept = make_result(tmp_path, first.url, {"hierarchy": 1, "resolutions": [0.5, 1.0], "overwrite": False}, "kept")
    assert list(read(kept.url).obs) == ["leiden_0.5_1", "leiden_0.5_2", "leiden_1.0_1"]


def test_columns_of_collected_results_are_earlier_ones(tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS)
    adata = ad.read_h5ad(source)
    columns: dict[str, Any] = {"leiden_0.5_2": "0_0", "score": 1.0}
    adata.obs = pd.DataFrame(columns, index=adata.obs_names)
    collected = json.dumps([{"result": "a.zarr", "columns": list(columns)}])
    adata.uns["clustering"] = {"made_by": "cellstrata", "collected": collected}
    adata.write_h5ad(tmp_path / "collected.h5ad")
    found = make_result(tmp_path, str(tmp_path / "collected.h5ad"), {})
    assert list(read(found.url).obs) == ["score", "leiden_0.5_1"]


def test_a_deeper_column_of_somebody_else_is_kept_and_named(tmp_path: Path) -> None:
    source = write_input(tmp_path, CELLS, **{"leiden_0.5_2": "x", "leiden_2.0_1": "y"})
    found = make_result(tmp_path, source, {})
    assert list(read(found.url).obs) == ["leiden_0.5_2", "leiden_2.0_1", "leiden_0.5_1"]
    (notice,) = [notice for notice in found.finished.source.notices if "kept from the input" in notice]
    assert notice.endswith(": leiden_0.5_2")
