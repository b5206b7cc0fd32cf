"""What an overlay refers to in an h5ad file, and what it has to convert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest

from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.overlays.document import DOCUMENT
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import assert_same
from tests.tasks.places import opened

RNG = np.random.default_rng(0)
TABLE = RNG.integers(0, 9, (1000, 7)).astype(np.float32)
STORED: dict[str, dict[str, Any]] = {
    "plain": {"data": TABLE},
    "chunked": {"data": TABLE, "chunks": (300, 4)},
    "gzip": {"data": TABLE, "chunks": (300, 4), "compression": "gzip"},
    "shuffled": {"data": TABLE.astype("<i8"), "chunks": (128, 7), "compression": "gzip", "shuffle": True},
    "checked": {"data": TABLE, "chunks": (300, 4), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "big_endian": {"data": TABLE.astype(">f4"), "chunks": (300, 4), "shuffle": True},
    "half": {"data": TABLE.astype(np.float16), "chunks": (64, 7)},
    "flags": {"data": TABLE > 4, "chunks": (500, 7), "compression": "gzip"},
    "complex": {"data": TABLE * 1j, "chunks": (500, 7)},
    "filled": {"shape": (1000, 7), "dtype": "f4", "chunks": (300, 7), "fillvalue": 7.5},
}
CONVERTED: dict[str, dict[str, Any]] = {
    "lzf": {"data": TABLE, "chunks": (300, 4), "compression": "lzf"},
    "scaled": {"data": TABLE.astype(np.int32), "chunks": (300, 4), "scaleoffset": 0},
    "empty": {"data": TABLE[:0]},
    "scalar": {"data": 3.5},
}


def write(path: Path, stored: dict[str, dict[str, Any]]) -> None:
    ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(5)])).write_h5ad(path)
    with h5py.File(path, "r+") as root:
        for name, how in stored.items():
            node = root.create_dataset(f"uns/{name}", **how)
            node.attrs.update(
                {"encoding-type": "array" if node.shape else "numeric-scalar", "encoding-version": "0.2.0"}
            )
            if name == "filled":
                node[300:600] = 1
        if "gzip" in stored:  # a chunk that skips the filter
            node = root.create_dataset("uns/skipped", shape=(8,), dtype="f4", chunks=(4,), compression="gzip")
            node.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            node.id.write_direct_chunk((0,), np.arange(4, dtype="f4").tobytes(), filter_mask=1)


def referred(out: Path) -> set[str]:
    refs = json.loads((out / DOCUMENT).read_text())["refs"]
    own = {key for key, value in refs.items() if isinstance(value, list) and value[0].startswith("{{s0}}")}
    return {key.split("/")[1] for key in own if key.startswith("uns/")}


@pytest.mark.parametrize("rows", [None, 300])
def test_what_zarr_reads_as_hdf5_stores_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int | None) -> None:
    if rows is not None:  # chunks of which the last reaches over the end of what is in one piece
        monkeypatch.setattr("cellstrata.tasks.overlays.hdf5_chunks.CHUNK_BYTES", rows * TABLE[0].nbytes)
    source, out = tmp_path / "in.h5ad", tmp_path / "out.zarr"
    write(source, STORED | CONVERTED)
    before = source.read_bytes()
    publish(opened(str(source)), Place(str(out)), link="reference")
    assert referred(out) == set(STORED)
    assert source.read_bytes() == before
    old, new = ad.read_h5ad(source), open_linked(str(out))
    new.uns.pop("clustering")
    assert_same(dict(old.uns), dict(new.uns))
    assert set(STORED) < set(new.uns)


def test_the_last_rows_before_the_end_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellstrata.tasks.overlays.hdf5_chunks.CHUNK_BYTES", 900 * TABLE[0].nbytes)
    source, out = tmp_path / "in.h5ad", tmp_path / "out.zarr"
    write(source, {"plain": {"data": TABLE}})
    with h5py.File(source) as file:
        node: Any = file["uns/plain"]
        assert node.id.get_offset() + 1800 * TABLE[0].nbytes > source.stat().st_size  # nothing lies behind it
    publish(opened(str(source)), Place(str(out)), link="reference")
    assert referred(out) == {"plain"}
    assert np.array_equal(open_linked(str(out)).uns["plain"], TABLE)
