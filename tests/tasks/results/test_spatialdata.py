"""A table of SpatialData stays one: its region and instance columns go where its attributes go."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from tests.tasks.everything import save
from tests.tasks.small import CELLS, graph_of

ATTRS = {"region": "shapes", "region_key": "where", "instance_key": "spot"}
N = len(CELLS)


def table() -> ad.AnnData:
    obs = pd.DataFrame(
        {"other": 1.0, "where": pd.Categorical(["shapes"] * N), "spot": np.arange(N)[::-1].copy()},
        index=[f"c{i}" for i in range(N)],
    )
    adata = ad.AnnData(obs=obs, obsm={"X_pca": CELLS}, obsp={"connectivities": graph_of(CELLS).to_csr()})
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"use_rep": "X_pca"}}
    adata.uns["spatialdata_attrs"] = ATTRS
    return adata


@pytest.mark.parametrize("form", ["h5ad", "zarr2"])
def test_a_result_of_one_level_is_a_table_of_spatialdata(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))
    source, one, two = str(save(table(), tmp_path, form)), str(tmp_path / "one.zarr"), str(tmp_path / "two.zarr")
    assert main(["cluster", source, one, "--resolution", "0.5"]) == 0
    assert main(["cluster", one, two, "--resolution", "0.5", "--level", "2"]) == 0
    for path, column in ((one, "leiden_0.5_1"), (two, "leiden_0.5_2")):
        result = ad.read_zarr(path)
        assert set(result.obs) == {"where", "spot", column}
        assert dict(result.uns["spatialdata_attrs"]) == ATTRS
        assert list(result.obs["where"].unique()) == ["shapes"]
        assert result.obs["spot"].tolist() == list(range(N))[::-1]
