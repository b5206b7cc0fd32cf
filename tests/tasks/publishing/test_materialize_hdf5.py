"""A result as one h5ad, and names that say another kind of file."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.publishing.publish import OutputError, publish
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import N, assert_kept, load, saved
from tests.tasks.places import opened

LABELS = {"leiden_0.5_1": pd.Categorical([str(i % 3) for i in range(N)])}


@pytest.mark.parametrize(
    ("form", "link"), [("h5ad", "auto"), ("h5ad", "reference"), ("zarr2", "symlink"), ("zarr3", "copy")]
)
def test_a_result_becomes_an_h5ad(form: str, link: str, tmp_path: Path) -> None:
    source, out, copy = saved(tmp_path, form), str(tmp_path / "out.zarr"), tmp_path / "copy.h5ad"
    publish(opened(source), Place(out), obs=LABELS, link=link)
    made = materialize(out, str(copy))
    assert copy.is_file()
    assert (made.objects, made.bytes) == (1, copy.stat().st_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ad.read_h5ad(copy)
    assert_kept(load(source), found, {"obs": list(LABELS), "uns": ["clustering"]})
    assert list(found.obs["leiden_0.5_1"]) == list(LABELS["leiden_0.5_1"])
    with pytest.raises(OutputError, match="exists"):
        materialize(out, str(copy), overwrite=True)


@pytest.mark.parametrize("name", ["copy.h5mu", "copy.zip", "copy.csv"])
def test_a_name_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out.zarr")
    publish(opened(saved(tmp_path, "h5ad")), Place(out), obs=LABELS)
    with pytest.raises(OutputError, match=r"\.zarr or \.h5ad"):
        materialize(out, str(tmp_path / name))
    assert not (tmp_path / name).exists()
