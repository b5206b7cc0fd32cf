"""An AnnData whose values are read when asked for (`anndata.experimental.read_lazy`) is clustered as any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import cellstrata as cs

mpl.use("Agg")
HOW: dict[str, Any] = {"resolutions": [0.5, 1.0], "hierarchy": 2, "ensemble": 2, "runner": "threads", "progress": False}


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_it_has_the_same_clusters_and_what_is_made_of_them(form: str, forms: dict[str, Path], tmp_path: Path) -> None:
    path = forms[form]
    whole = ad.read_h5ad(path) if form == "h5ad" else ad.read_zarr(path)
    lazy = ad.experimental.read_lazy(str(path))
    for adata in (whole, lazy):
        cs.tl.cluster(adata, cache=tmp_path / "cache", **HOW)
    # The graph that is stored with them is the same, also by how many neighbors it was made of.
    assert lazy.uns["clustering"]["graph"] == whole.uns["clustering"]["graph"]
    for name in ("leiden_0.5_1", "leiden_1.0_2"):
        assert lazy.obs[name].to_series().astype(str).tolist() == whole.obs[name].astype(str).tolist()
        pd.testing.assert_frame_equal(cs.get.tree(lazy, name), cs.get.tree(whole, name))
    assert not isinstance(lazy.X, np.ndarray), "X is as it was: not read"

    known = [name for name in ("bulk_labels", "group") if name in whole.obs][:1]
    one, other = (cs.tl.compare(adata, ["leiden_0.5_1", "leiden_1.0_2", *known]) for adata in (lazy, whole))
    pd.testing.assert_frame_equal(one, other)
    assert cs.pl.tree(lazy, "leiden_1.0_2") is not None
    assert cs.pl.clustree(lazy) is not None
    cs.report(lazy, tmp_path / "report.html")
    assert "leiden_1.0_2" in (tmp_path / "report.html").read_text()
    cs.tl.match(lazy, whole)
    assert lazy.obs["leiden_0.5_1"].to_series().astype(str).tolist() == whole.obs["leiden_0.5_1"].astype(str).tolist()
