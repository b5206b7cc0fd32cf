"""Names that differ by case alone, or by a form of Unicode: zarr's reader must find all of them in a result."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.tasks.elements.consolidated import consolidate, open_complete
from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.publishing import publish as publishing
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.publishing.publish import OutputError, publish
from cellstrata.tasks.publishing.staging import StagedStore
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import save
from tests.tasks.places import opened

PAIRS = {"obs": ("Batch", "batch"), "layers": ("Counts", "counts"), "obsp": ("A", "a"), "uns": ("µm", "μm")}
LABELS = pd.Categorical(["0", "1", "0", "1"])


def alike() -> ad.AnnData:
    graph = sp.eye_array(4, format="csr", dtype=np.float32)
    adata = ad.AnnData(sp.csr_matrix(np.eye(4, 3, dtype=np.float32)))
    for n, name in enumerate(PAIRS["obs"], 1):
        adata.obs[name] = pd.Categorical([f"{n}{i % 2}" for i in range(4)])
        adata.var[name] = pd.Categorical([f"{n}{i % 2}" for i in range(3)])
    for n in (0, 1):
        adata.layers[PAIRS["layers"][n]] = adata.X * (n + 2)
        adata.obsp[PAIRS["obsp"][n]] = sp.csr_matrix(graph * (n + 2))
        adata.uns[PAIRS["uns"][n]] = {"deep": {"deeper": np.arange(n + 2)}}
    return adata


def same(found: ad.AnnData) -> None:
    for n, name in enumerate(PAIRS["obs"], 1):
        assert list(found.obs[name]) == [f"{n}{i % 2}" for i in range(4)]
        assert list(found.var[name]) == [f"{n}{i % 2}" for i in range(3)]
    for n in (0, 1):
        assert found.layers[PAIRS["layers"][n]].max() == n + 2
        assert found.obsp[PAIRS["obsp"][n]].max() == n + 2
        assert len(found.uns[PAIRS["uns"][n]]["deep"]["deeper"]) == n + 2


@pytest.mark.parametrize(
    ("form", "link"),
    [("h5ad", "auto"), ("h5ad", "reference"), ("zarr2", "symlink"), ("zarr3", "copy"), ("zarr3", "reference")],
)
def test_a_result_of_names_alike_is_read_by_everybody(tmp_path: Path, form: str, link: str) -> None:
    source, out, copy = save(alike(), tmp_path, form, "in"), str(tmp_path / "out.zarr"), str(tmp_path / "copy.zarr")
    publish(opened(source), Place(out), obs={"leiden_0.5_1": LABELS}, link=link)
    found = open_linked(out)
    same(found)
    assert list(found.obs["leiden_0.5_1"]) == list(LABELS)
    if link != "reference":
        same(ad.read_zarr(out))
    materialize(out, copy)
    same(ad.read_zarr(copy))
    assert zarr.open_group(copy, mode="r", use_consolidated=True)["uns/µm/deep/deeper"].shape == (2,)


def test_a_zipped_zarr_of_names_alike_is_an_input(tmp_path: Path) -> None:
    folder = Path(save(alike(), tmp_path, "zarr2", "in"))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    with open_anndata(Place(str(tmp_path / "in.zip"))) as root:
        assert sorted(root["obs/Batch"]) == sorted(root["obs/batch"]) == ["categories", "codes"]
        assert root["uns/μm/deep/deeper"].shape == (3,)


def test_metadata_in_order_are_used_as_they_are(tmp_path: Path) -> None:
    adata = alike()
    del adata.obs["Batch"], adata.var["Batch"], adata.layers["Counts"], adata.obsp["A"], adata.uns["µm"]
    store = StagedStore(save(adata, tmp_path, "zarr2", "in"))
    before = (Path(store.root) / ".zmetadata").read_bytes()
    consolidate(store, "in.zarr")
    assert (Path(store.root) / ".zmetadata").read_bytes() == before
    assert open_complete(store).metadata.consolidated_metadata is not None


def test_a_result_that_zarr_cannot_read_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = zarr.consolidate_metadata

    def forgetful(store: Any) -> zarr.Group:
        """Leave the codes of the labels out of what is written, as a reader or writer with a fault would."""
        made = real(store)
        file = Path(store.root) / ".zmetadata"
        document = json.loads(file.read_bytes())
        for key in (".zarray", ".zattrs"):
            document["metadata"].pop(f"obs/leiden_0.5_1/codes/{key}", None)
        file.write_text(json.dumps(document))
        return made

    monkeypatch.setattr(zarr, "consolidate_metadata", forgetful)
    out: Any = tmp_path / "out.zarr"
    with pytest.raises(OutputError, match=r"out\.zarr.*consolidated metadata.*obs/leiden_0.5_1/codes"):
        publishing.publish(opened(save(alike(), tmp_path, "h5ad", "in")), Place(str(out)), obs={"leiden_0.5_1": LABELS})
    assert not out.exists()
