"""What is no AnnData, or cannot be opened now, is called what it is, with what to do."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from cellstrata.tasks.elements.opening import InputError, Opened, _locked, open_anndata
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.mudata_files import write_mudata


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught, open_anndata(Place(str(path))):
        pass
    return str(caught.value)


def hdf5(path: Path, *datasets: str) -> Path:
    with h5py.File(path, "w") as file:
        for name in datasets:
            file[name] = np.arange(3)
    return path


def test_files_of_other_programs_are_named(tmp_path: Path) -> None:
    loom = refused(hdf5(tmp_path / "a.loom", "matrix", "row_attrs/Gene", "col_attrs/CellID"))
    assert "is a loom file" in loom
    assert "read_loom" in loom
    for top in ("matrix", "GRCh38"):
        tenx = refused(hdf5(tmp_path / f"{top}.h5", f"{top}/barcodes", f"{top}/data"))
        assert "read_10x_h5" in tenx
        assert "tables/…" not in tenx
    assert "SeuratDisk" in refused(hdf5(tmp_path / "a.h5seurat", "cell.names", "assays/RNA/counts"))
    assert "tables/…" in refused(hdf5(tmp_path / "b.h5", "something"))


def test_folders_of_other_programs_are_named(tmp_path: Path) -> None:
    for name, inside, said in (
        ("tenx", ("matrix.mtx.gz", "barcodes.tsv.gz"), "read_10x_mtx"),
        ("ice", ("snapshots/A", "manifests/B", "refs/C"), "Icechunk"),
    ):
        for file in inside:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(b"x")
        assert said in refused(tmp_path / name)


def test_of_a_mudata_its_parts_are_listed(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2, attributes={"encoding-type": "MuData"})
    for name in ("obs", "mod/rna/obs", "mod/prot/obs"):
        root.create_group(name)
    said = refused(tmp_path / "m.zarr")
    assert "is a MuData" in said
    for part in ("rna", "prot"):
        assert f"{tmp_path}/m.zarr/mod/{part}" in said
        with open_anndata(Place(f"{tmp_path}/m.zarr/mod/{part}")) as modality:
            assert "obs" in modality
    (tmp_path / "m.h5mu").write_bytes(b"MuData (format-version=0.1.0;creator=muon)".ljust(512, b"\0"))
    assert "m.h5mu/mod/rna" in refused(tmp_path / "m.h5mu")


def test_in_a_bucket_a_modality_is_an_input_and_the_root_is_not(s3: str, tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "m.zarr", mode="w", zarr_format=2, attributes={"encoding-type": "MuData"})
    for name in ("obs", "mod/rna/obs", "mod/prot/obs"):
        root.create_group(name)
    root["mod/rna/obs"].create_array("_index", shape=(3,), dtype="i4")
    zarr.consolidate_metadata(tmp_path / "m.zarr")
    for file in (tmp_path / "m.zarr").rglob("*"):
        if file.is_file():
            Store.at(f"{s3}/m.zarr").write(file.relative_to(tmp_path / "m.zarr").as_posix(), file.read_bytes())
    with (
        pytest.raises(InputError, match=r"is a MuData.*m.zarr/mod/prot.*m.zarr/mod/rna"),
        open_anndata(Place(f"{s3}/m.zarr")),
    ):
        pass
    with open_anndata(Place(f"{s3}/m.zarr/mod/rna")) as modality:
        assert list(modality["obs"]) == ["_index"]


def test_a_modality_of_a_mudata_file_is_read_in_place(s3: str, tmp_path: Path) -> None:
    cells = ad.AnnData(obs=pd.DataFrame(index=["a", "b"]))
    local = write_mudata(tmp_path / "m.h5mu", rna=cells, prot=cells)
    Store.at(s3).write("m.h5mu", Path(local).read_bytes())
    for file in (local, f"{s3}/m.h5mu"):
        with pytest.raises(InputError, match=rf"m.h5mu: is a MuData.*give one of them, as {file}/mod/rna"):
            Opened.at(Place(file))
        opened = Opened.at(Place(f"{file}/mod/rna"))
        with opened.root() as root:
            assert list(root["obs"]) == ["_index"]
        opened.check_unchanged()
        assert opened.identity["url"] == f"{file}/mod/rna"
        with (
            pytest.raises(InputError, match=rf"there is no such modality; it has {file}/mod/prot, .*/mod/rna"),
            open_anndata(Place(f"{file}/mod/atac")),
        ):
            pass
        with pytest.raises(InputError, match=r"other.h5mu: there is no such file"):
            Opened.at(Place(f"{file.removesuffix('m.h5mu')}other.h5mu/mod/rna"))
    opened = Opened.at(Place(f"{local}/mod/rna"))
    os.utime(local, (1, 1))
    with pytest.raises(InputError, match="has changed"):
        opened.check_unchanged()


def test_what_is_locked_is_not_damaged(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5ad", "obs/_index")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does where another program writes
        said = refused(path)
    assert "is open for writing in another program" in said
    assert "damaged" not in said
    text = "Unable to synchronously open file (unable to lock file, errno = 37, error message = 'No locks available')"
    assert "HDF5_USE_FILE_LOCKING=FALSE" in (_locked(OSError(text)) or "")
