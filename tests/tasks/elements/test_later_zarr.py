"""Types and codecs that the installed zarr does not know: told by element before any work."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

from cellstrata.tasks.elements.consolidated import open_complete
from cellstrata.tasks.elements.later_zarr import unknown_arrays
from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.elements.reading import read_obsm
from cellstrata.tasks.stores.places import Place

LATER = {
    "data_type": {"name": "kind_of_tomorrow", "configuration": {"fields": [["a", "int8"]]}},
    "codecs": [{"name": "codec_of_tomorrow", "configuration": {}}],
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    cells = ad.AnnData(obsm={"X_latent": rng.normal(size=(120, 5)).astype(np.float32)})
    cells.uns["genes"] = {"names": np.arange(4), "scores": np.arange(4.0)}
    with ad.settings.override(zarr_write_format=3):
        cells.write_zarr(tmp_path / "cells.zarr")
    return tmp_path / "cells.zarr"


def of_tomorrow(path: Path, element: str, field: str) -> None:
    """Have an array say what no zarr knows yet, in its own metadata and in the consolidated ones."""
    own = path / element / "zarr.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {field: LATER[field]}))
    whole = json.loads((path / "zarr.json").read_text())
    if whole.get("consolidated_metadata"):
        whole["consolidated_metadata"]["metadata"][element][field] = LATER[field]
        (path / "zarr.json").write_text(json.dumps(whole))


def test_all_that_this_zarr_wrote_is_known(made: Path) -> None:
    with open_anndata(Place(str(made))) as root:
        assert unknown_arrays(root, lambda path: True) == {}


@pytest.mark.parametrize("field", list(LATER))
def test_it_is_told_by_element_and_the_rest_can_be_read(field: str, made: Path) -> None:
    of_tomorrow(made, "uns/genes/names", field)
    of_tomorrow(made, "uns/genes/scores", field)
    with open_anndata(Place(str(made))) as root:
        found = unknown_arrays(root, lambda path: path != "uns/genes/scores")
        assert list(found) == ["uns/genes/names"]
        assert "tomorrow" in found["uns/genes/names"]
        assert read_obsm(root, "X_latent").shape == (120, 5)
    assert open_complete(LocalStore(made))["obsm/X_latent"].shape == (120, 5)
    with pytest.raises((ValueError, KeyError)):  # else the test is of nothing
        zarr.open_group(str(made), mode="r", use_consolidated=False)["uns/genes/names"]
