"""A MuData file as mudata writes it: an HDF5 file behind 512 bytes of its own."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py

HEADER = b"MuData (format-version=0.1.0;creator=mudata;creator-version=0.3.0)"


def write_mudata(path: Path, **modalities: ad.AnnData) -> str:
    """Write modalities by name; returns the path."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs.update({"encoding-type": "MuData", "encoding-version": "0.1.0"})
        group = file.create_group("mod")
        for name, modality in modalities.items():
            ad.io.write_elem(group, name, modality)
    with path.open("r+b") as raw:
        raw.write(HEADER)
    return str(path)
