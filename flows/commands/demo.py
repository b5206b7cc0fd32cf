"""The bundled example: the ancestor's three documented configurations on 700 blood cells."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Sequence
from pathlib import Path

DATA = "pbmc68k.h5ad"
CONFIG = "demo.yaml"


def demo(folder: str, overrides: Sequence[str], as_json: bool, verbose: bool, quiet: bool = False) -> int:
    """Run the example in a folder; returns the exit code."""
    from cellstrata.flows.commands.run import run

    return run(write_demo(folder), overrides, as_json, verbose, quiet)


def write_demo(folder: str) -> str:
    """Write the example's data and configuration to a folder, if they are not there yet.

    The data are scanpy's `pbmc68k_reduced`, which ships in its wheel, with a column `batch` as the
    ancestor's test data have it. Returns the path of the configuration.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / DATA).exists():
        _write_data(place / DATA)
    text = (importlib.resources.files("cellstrata.configs") / "examples" / CONFIG).read_text()
    text = text.replace("pbmc68k.h5ad", str(place / DATA)).replace("output_dir: out", f"output_dir: {place / 'out'}")
    (place / CONFIG).write_text(text)
    return str(place / CONFIG)


def _write_data(path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to scanpy's maintainers
        import scanpy

        adata = scanpy.datasets.pbmc68k_reduced()
        half = adata.n_obs // 2
        adata.obs["batch"] = ["1"] * half + ["2"] * (adata.n_obs - half)
        adata.obs["batch"] = adata.obs["batch"].astype("category")
        part = path.with_suffix(".part")
        adata.write_h5ad(part)
        os.replace(part, path)
