"""`python -m benchmarks.umaps DATA …`: what a UMAP adds to a run, against scanpy's in a process of its own.

For each data set, `--repeat` times in turn and with one Prefect server running: a cold run without a UMAP, one
with it (drawn from the run's own graph, beside the splits), and a fresh process that reads the data and runs
`sc.pp.neighbors` and `sc.tl.umap`. The median counts. Trustworthiness (Venna and Kaski 2001, scikit-learn's, of
2,000 cells drawn at random) says how good each is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from benchmarks.contestants import Task, command
from benchmarks.measure import Measured, measure
from benchmarks.server import running_server

SCANPY = """
import sys, anndata, numpy as np, scanpy as sc
adata = anndata.io.read_h5ad(sys.argv[1])
sc.pp.neighbors(adata, use_rep=sys.argv[2], random_state=0)
sc.tl.umap(adata, random_state=0)
np.save(sys.argv[3], adata.obsm["X_umap"])
"""
SAMPLE = 2_000


def main() -> None:
    """Measure each data set, print a row for each, and write what is asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.umaps", description=__doc__)
    parser.add_argument("data", nargs="+", help="h5ad files with `X_pca`")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server:
        rows = [_data_set(Path(folder), path, server, options.repeat) for path in options.data]
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def _data_set(folder: Path, path: str, server: str, repeat: int) -> dict[str, Any]:
    runs: dict[str, list[Measured]] = {"without": [], "with": [], "scanpy": []}
    kept: dict[str, Any] = {}
    for number in range(repeat):
        for what in ("without", "with"):
            place = folder / f"{Path(path).stem}-{number}-{what}"
            place.mkdir()
            task = Task(path, more={"recompute_umap": what == "with"})
            run, document = command(task.config(place), server, f"{folder}/home")
            runs[what].append(run)
            kept[what] = document["datasets"]["data/file"]["output"]
        made = folder / "scanpy.npy"
        runs["scanpy"].append(measure([sys.executable, "-c", SCANPY, path, "X_pca", str(made)], dict(os.environ)))
    walls = {what: round(statistics.median(run.wall for run in those), 2) for what, those in runs.items()}
    row = {
        "data": Path(path).stem, **walls, "added": round(walls["with"] - walls["without"], 2),
        "cpu": {what: round(statistics.median(run.cpu for run in those), 2) for what, those in runs.items()},
        "trustworthiness": _trustworthiness(path, {
            "ours": anndata.io.read_zarr(kept["with"]).obsm["X_umap"], "scanpy": np.load(made)
        }),
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    return row


def _trustworthiness(path: str, layouts: dict[str, Any]) -> dict[str, float]:
    from sklearn.manifold import trustworthiness

    embedding = np.asarray(anndata.io.read_h5ad(path).obsm["X_pca"])
    chosen = np.random.default_rng(0).choice(len(embedding), min(SAMPLE, len(embedding)), replace=False)
    return {
        name: round(float(trustworthiness(embedding[chosen], layout[chosen], n_neighbors=15)), 4)
        for name, layout in layouts.items()
    }


if __name__ == "__main__":
    main()
