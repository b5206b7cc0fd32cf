"""Inputs that are made to harm, harmless themselves: each is refused, and nothing of a size it claims is allocated."""

from __future__ import annotations

import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

from cellstrata.tasks.elements import claimed_size, reading
from cellstrata.tasks.elements.kinds import reading as reading_of
from cellstrata.tasks.elements.opening import InputError, open_anndata
from cellstrata.tasks.elements.zip_entries import SWELLING, UNSUSPICIOUS, check_entries
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.stores.places import Place
from tests.flows.commands.broken_inputs import N, cells
from tests.tasks.everything import saved

LITTLE = 64 << 20  # bytes
HUGE = 10**14  # rows


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """Whatever a test opens, it allocates little at any moment."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LITTLE


def refused(url: Path | str, read: Any) -> str:
    with pytest.raises(InputError) as error, open_anndata(Place(str(url))) as root:
        read(root)
    assert len(str(error.value)) < 400
    return str(error.value)


def packed(folder: Path, more: dict[str, bytes], root: str = "") -> Path:
    """Zip a good zarr, with other entries behind its own."""
    source, target = cells(folder, "zarr"), folder / "in.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                file.write(path, root + str(path.relative_to(source)))
        for name, content in more.items():
            file.writestr(name, content)
    return target


def in_memory(path: Path) -> str:
    fsspec.filesystem("memory").pipe(f"/{path.parent.name}/{path.name}", path.read_bytes())
    return f"memory://{path.parent.name}/{path.name}"


@pytest.mark.parametrize("bucket", [False, True])
@pytest.mark.parametrize("name", ["../../evil.txt", "/etc/evil", "obs/../../evil"])
def test_a_zip_file_with_entries_that_lead_out_is_refused(tmp_path: Path, name: str, bucket: bool) -> None:
    path = packed(tmp_path, {name: b"x"})
    assert f"{name}: has a name that leads out" in refused(in_memory(path) if bucket else path, list)
    with pytest.raises(InputError, match="leads out"):
        materialize(str(path), str(tmp_path / "out" / "copy.zarr"))
    assert not list((tmp_path / "out").rglob("*"))
    assert not (tmp_path / "evil.txt").exists()


def entry(name: str, stored: int, size: int) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.compress_size, found.file_size = stored, size
    return found


def test_a_zip_file_that_swells_is_refused_by_its_directory() -> None:
    check_entries("x.zip", [entry("X/0.0", 10**9, 10**10), entry("X/0.1", 1, UNSUSPICIOUS), entry("zarr.json", 9, 99)])
    with pytest.raises(InputError, match=r"X/0\.0: would swell from 1,000,000 to 10,000,000,000 bytes"):
        check_entries("x.zip", [entry("X/0.0", 10**6, 10**10)])
    assert SWELLING * 10**6 < 10**10
    for name in ("zarr.json", "obsm/X_pca/.zarray", ".zmetadata"):
        with pytest.raises(InputError, match="bytes of metadata"):
            check_entries("x.zip", [entry(name, 10**9, 10**9)])


def test_a_zip_file_that_swells_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, {})
    zeros = b"\0" * (1 << 20)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, file.open("X/9.9", "w") as out:
        for _ in range((UNSUSPICIOUS >> 20) + 1):
            out.write(zeros)
    assert path.stat().st_size < 1 << 20
    assert "X/9.9: would swell from" in refused(path, list)


def test_no_more_is_read_than_a_zip_file_says(tmp_path: Path) -> None:
    """A directory that lies about the size gives a short read, and an error; not what lies behind."""
    path = packed(tmp_path, {"big": b"a" * (1 << 20)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with zipfile.ZipFile(path) as file, pytest.raises(zipfile.BadZipFile):
        file.read("big")
    with open_anndata(Place(str(path))) as root:
        assert reading.read_obsm(root, "X_pca").shape[0] == N


def reshaped(path: Path, element: str, shape: list[int]) -> Path:
    """Write another shape into the metadata of an array, and nothing else."""
    (path / ".zmetadata").unlink(missing_ok=True)
    for name in ("zarr.json", f"{element}/zarr.json", f"{element}/.zarray"):
        if (path / name).is_file():
            document = json.loads((path / name).read_text())
            document.pop("consolidated_metadata", None)
            (path / name).write_text(json.dumps(document | ({} if name == "zarr.json" else {"shape": shape})))
    return path


READS = {
    "obs/_index": reading.n_obs,
    "obsm/X_pca": lambda root: reading.read_obsm(root, "X_pca"),
    "obsp/connectivities/data": lambda root: reading.read_obsp(root, "connectivities"),
    "obs/score": lambda root: reading.read_obs_column(root, "score"),
    "obs/cell_type/codes": lambda root: reading.read_obs_column(root, "cell_type"),
    "X": reading.read_x,
}


@pytest.mark.parametrize("element", READS)
def test_a_shape_that_no_memory_holds_is_refused(tmp_path: Path, element: str) -> None:
    path = cells(tmp_path, "zarr")
    with open_anndata(Place(str(path))) as root:
        array = element if hasattr(root[element], "shape") else f"{element}/values"  # text of pandas 3
        rest = list(root[array].shape[1:])
    said = refused(reshaped(path, array, [HUGE, *rest]), READS[element])
    assert f"{path}: {array}: claims" in said
    assert "of memory" in said


def test_a_shape_of_which_nothing_is_stored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimed_size, "memory", lambda: 1 << 60)
    path = reshaped(cells(tmp_path, "zarr"), "obsm/X_pca", [10**9, 3])
    assert "bytes are stored" in refused(path, READS["obsm/X_pca"])
    other = cells(tmp_path, name="other")
    with h5py.File(other, "r+") as file:
        file.create_dataset("obsm/X_empty", shape=(10**9, 3), dtype="f4", chunks=(1000, 3))
    assert "of which 0 bytes are stored" in refused(other, lambda root: reading.read_obsm(root, "X_empty"))


@pytest.mark.parametrize("kind", ["storage", "link", "link by a link", "virtual"])
def test_an_h5ad_that_takes_bytes_from_another_file_is_refused(tmp_path: Path, kind: str) -> None:
    path, other = cells(tmp_path), tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((N, 2), "f4")
    with h5py.File(path, "r+") as file:
        if kind == "storage":
            file.create_dataset("obsm/X_out", (N, 2), "f4", external=[(str(other), 0, N * 8)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((N, 2), "f4")
            layout[:] = h5py.VirtualSource(str(other), "x", (N, 2))
            file.create_virtual_dataset("obsm/X_out", layout)
        else:
            file["uns/there" if "by" in kind else "obsm/X_out"] = h5py.ExternalLink(str(other), "/x")
            if "by" in kind:
                file["obsm/X_out"] = h5py.SoftLink("/uns/there")
    assert f"another file, {other}" in refused(path, list)
    if kind == "storage":  # HDF5 opens it by itself, wherever the file around it lies
        read = lambda root: reading.read_obsm(root, "X_out")  # noqa: E731
        assert f"another file, {other}" in refused(in_memory(path), read)


def test_links_within_an_h5ad_are_followed(tmp_path: Path) -> None:
    path = cells(tmp_path)
    with h5py.File(path, "r+") as file:
        file["obsm/X_soft"] = h5py.SoftLink("/obsm/X_pca")
        file["obsm/X_nowhere"] = h5py.SoftLink("/gone")
        layout = h5py.VirtualLayout((N, 2), "f4")
        layout[:] = h5py.VirtualSource(".", "obsm/X_pca", (N, 3))[:, :2]
        del file["obsm/X_nowhere"]
        file.create_virtual_dataset("obsm/X_part", layout)
    with open_anndata(Place(str(path))) as root:
        assert np.array_equal(reading.read_obsm(root, "X_soft"), reading.read_obsm(root, "X_pca"))
        assert reading.read_obsm(root, "X_part").shape == (N, 2)


RAN: list[str] = []


def note() -> None:
    RAN.append("unpickled")


class Telling:
    """What notes that it was unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return note, ()


@pytest.mark.parametrize("place", ["filters", "compressor", "beside text"])
def test_a_zarr_whose_codec_would_unpickle_runs_nothing(tmp_path: Path, place: str) -> None:
    path = Path(saved(tmp_path, "zarr2"))
    array, codec = path / "obsm" / "X_pca", {"id": "pickle", "protocol": 4}
    for chunk in [chunk for chunk in array.iterdir() if not chunk.name.startswith(".")]:
        chunk.write_bytes(pickle.dumps(Telling(), 4))
    changed: dict[str, Any] = {"dtype": "|O", "fill_value": "", "compressor": None, "filters": [codec]}
    if place == "compressor":
        changed |= {"compressor": codec, "filters": [{"id": "vlen-utf8"}]}
    elif place == "beside text":
        changed["filters"] = [{"id": "vlen-utf8"}, codec]
    document = json.loads((array / ".zarray").read_text())
    (array / ".zarray").write_text(json.dumps(document | changed))
    (path / ".zmetadata").unlink()
    with pytest.raises(InputError), open_anndata(Place(str(path))) as root, reading_of(str(path)):
        root["obsm/X_pca"][()]
    assert RAN == []
    pickle.loads(pickle.dumps(Telling(), 4))  # else nothing would have been noticed
    assert RAN.pop() == "unpickled"
