"""What the ancestor does, the way it does it: a plain scanpy script, written from its description.

One process computes the graph; then, for each resolution and each level, a fresh process reads all of
it again, clusters, and writes its column. Below level 1 `sc.pp.neighbors` runs for each cluster in
joblib workers, to which the whole AnnData is sent. Leiden is scanpy's igraph flavour with 2 iterations.

`python -m benchmarks.ancestor DATA FOLDER` runs all of it; each step is the same module again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LEIDEN: dict[str, Any] = {"flavor": "igraph", "n_iterations": 2, "directed": False}


def main() -> None:
    """Run every step in a process of its own, or the one step that is named."""
    parser = argparse.ArgumentParser("python -m benchmarks.ancestor", description=__doc__)
    parser.add_argument("data", help="h5ad file with an embedding")
    parser.add_argument("folder", type=Path, help="where the files of the steps go")
    parser.add_argument("--use_rep", default="X_pca")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--n_neighbors", type=int, default=15)
    parser.add_argument("--step", choices=["neighbors", "level", "merge"], help=argparse.SUPPRESS)
    parser.add_argument("--resolution", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--level", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        {"neighbors": _neighbors, "level": _level, "merge": _merge}[options.step](options)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    _run("neighbors")
    for resolution in options.resolutions:
        for level in range(1, options.depth + 1):
            _run("level", "--resolution", str(resolution), "--level", str(level))
    _run("merge")


def _run(step: str, *more: str) -> None:
    command = [sys.executable, "-m", "benchmarks.ancestor", *sys.argv[1:], "--step", step, *more]
    subprocess.run(command, check=True, stdout=sys.stdout if step == "merge" else subprocess.DEVNULL)


def _neighbors(options: argparse.Namespace) -> None:
    import anndata
    import scanpy as sc

    adata = anndata.read_h5ad(options.data)
    sc.pp.neighbors(adata, n_neighbors=options.n_neighbors, use_rep=options.use_rep)
    adata.write_zarr(options.folder / "neighbors.zarr")


def _level(options: argparse.Namespace) -> None:
    """Cluster one level: level 1 on the stored graph, the others each cluster on a graph of its own."""
    import anndata
    import joblib
    import numpy as np
    import pandas as pd
    import scanpy as sc

    adata = anndata.read_zarr(options.folder / "neighbors.zarr")
    if options.level == 1:
        sc.tl.leiden(adata, resolution=options.resolution, key_added="found", **LEIDEN)
        labels = adata.obs["found"].astype(str)
    else:
        above = pd.read_parquet(_column(options, options.level - 1)).iloc[:, 0]
        adata.obs["above"] = above.to_numpy()
        processes = min(4 * options.level - 3, os.cpu_count() or 1)
        found = joblib.Parallel(n_jobs=processes)(
            joblib.delayed(cluster)(adata, parent, options.resolution, options.n_neighbors, options.use_rep)
            for parent in above.unique()
        )
        labels = pd.concat(found).loc[adata.obs_names]
        assert len(labels) == adata.n_obs
        assert np.asarray(labels.notna()).all()
    labels.rename(f"leiden_{options.resolution}_{options.level}").to_frame().to_parquet(_column(options, options.level))


def cluster(adata: Any, parent: str, resolution: float, n_neighbors: int, use_rep: str, seed: int = 0) -> Any:
    """Split one cluster of the level above; one that is too small repeats the last part of its label."""
    import scanpy as sc

    own = adata[adata.obs["above"] == parent].copy()
    if own.n_obs < 2 * n_neighbors:
        return own.obs["above"].astype(str) + "_" + parent.rsplit("_", 1)[-1]
    sc.pp.neighbors(own, n_neighbors=n_neighbors, use_rep=use_rep)
    sc.tl.leiden(own, resolution=resolution, key_added="found", random_state=seed, **LEIDEN)
    return parent + "_" + own.obs["found"].astype(str)


def _merge(options: argparse.Namespace) -> None:
    """Write the whole file with all columns, and print the modularity of each level-1 column as JSON."""
    import anndata
    import pandas as pd

    from cellstrata.tasks.kernels.graph import from_adjacency

    adata = anndata.read_zarr(options.folder / "neighbors.zarr")
    graph, _ = from_adjacency(adata.obsp["connectivities"])
    modularity = {}
    for resolution in options.resolutions:
        for level in range(1, options.depth + 1):
            options.resolution = resolution
            labels = pd.read_parquet(_column(options, level)).iloc[:, 0].astype("category")
            adata.obs[labels.name] = labels.to_numpy()
            if level == 1:
                modularity[str(labels.name)] = graph.modularity(labels.cat.codes.to_numpy())
    adata.write_zarr(options.folder / "result.zarr")
    adata.obs.filter(like="leiden_").astype(str).to_parquet(options.folder / "labels.parquet")
    print(json.dumps({"modularity": modularity, "labels": str(options.folder / "labels.parquet")}))


def _column(options: argparse.Namespace, level: int) -> Path:
    path: Path = options.folder / f"{options.resolution}_{level}.parquet"
    return path


if __name__ == "__main__":
    main()
