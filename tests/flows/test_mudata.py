"""A modality of a MuData file as an input: locally and in a bucket the same as an h5ad of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
import pytest

from cellstrata.flows.commands.explain import explain
from tests.flows.conftest import Cluster, Run
from tests.tasks.everything import assert_same
from tests.tasks.mudata_files import write_mudata

SETTINGS: dict[str, Any] = {"neighbors": {"use_rep": "X_pca"}, "recompute_neighbors": True, "hierarchy": 2}


@pytest.mark.parametrize("place", ["here", "bucket"])
def test_it_is_clustered_as_an_h5ad_of_it_is(
    place: str, one: Run, pbmc: Path, tmp_path: Path, s3: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import s3fs

    rna = ad.read_h5ad(pbmc)
    prot = ad.AnnData(obs=pd.DataFrame(index=rna.obs_names))
    file = write_mudata(tmp_path / "m.h5mu", rna=rna, prot=prot)
    before = Path(file).read_bytes()
    if place == "bucket":
        s3fs.S3FileSystem().put_file(file, f"{s3}/m.h5mu")
        file = f"{s3}/m.h5mu"
    alone = one(pbmc, SETTINGS, "alone")
    report = one(f"{file}/mod/rna", SETTINGS, "part")  # type: ignore[arg-type]
    assert report["splits"]["executed"] == 0  # the same cells, so the same keys
    assert pd.read_parquet(report["labels"]).equals(pd.read_parquet(alone["labels"]))
    kept, whole = ad.read_zarr(report["output"]), ad.read_zarr(alone["output"])
    for slot in ("X", "obs", "var", "obsm", "obsp"):
        assert_same(getattr(whole, slot), getattr(kept, slot), slot)
    assert explain(report["output"], None, None, False) == 0
    assert f"{file}/mod/rna" in capsys.readouterr().out
    assert not one(f"{file}/mod/rna", SETTINGS, "part")["written"]  # type: ignore[arg-type]
    assert (tmp_path / "m.h5mu").read_bytes() == before


def test_cluster_takes_one_too_and_says_what_it_cannot_do(cluster: Cluster, pbmc: Path, tmp_path: Path) -> None:
    file = write_mudata(tmp_path / "m.h5mu", rna=ad.read_h5ad(pbmc))
    assert cluster(f"{file}/mod/rna", "one.zarr")[0] == 0
    assert "leiden_1.0_1" in ad.read_zarr("one.zarr").obs
    code, said = cluster(file, "whole.zarr")
    assert code == 2
    assert f"give one of them, as {file}/mod/rna" in said
    code, said = cluster(f"{file}/mod/atac", "none.zarr")
    assert code == 2
    assert f"it has {file}/mod/rna" in said
