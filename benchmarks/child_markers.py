"""`python -m benchmarks.child_markers H5AD --json FILE`: what does the rule `min_markers` refuse?

First, tables of counts without groups: how many genes tell the children of their splits apart. Then a file with X
(logarithms), X_pca and known labels is clustered at some levels by `ensemble: auto`, without the rule and with it; each
level is compared with each column of known labels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.branch_embeddings import agreement
from benchmarks.contestants import Task, command
from benchmarks.rows import KNOWN
from benchmarks.server import running_server
from cellstrata.tasks.expression.stored_blocks import Block
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.markers.child_markers import child_markers
from cellstrata.tasks.markers.moments import moments

GENES, DEPTH, COMPONENTS = 2_000, 2_000, 30
WAYS: dict[str, dict[str, Any]] = {
    "none": {"hierarchy": 3},
    "5": {"hierarchy": 3, "stop": {"min_markers": 5}},
    "20": {"hierarchy": 3, "stop": {"min_markers": 20}},
    "5, until stable": {"hierarchy": "until_stable", "stop": {"min_markers": 5}},
}
REFUSED = "too few markers"


def main() -> None:
    """Measure, print tables, and write the rows."""
    parser = argparse.ArgumentParser("python -m benchmarks.child_markers", description=__doc__)
    parser.add_argument("data", help="an h5ad with X, X_pca and known labels")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--known", nargs="*", default=list(KNOWN), help="obs columns of known labels")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    options = parser.parse_args()
    found = {"clouds": list(clouds()), "trees": list(trees(options.data, options.resolutions, options.known))}
    for rows in found.values():
        print(pd.DataFrame(rows).to_string(index=False))
    if options.json:
        Path(options.json).write_text(json.dumps({"data": Path(options.data).stem, **found}, indent=1) + "\n")


def clouds() -> Iterator[dict[str, Any]]:
    """Yield a row for each table of Poisson counts and resolution: parts, and the genes that tell them apart.

    `together` is what the rule counts, `best pair` the genes of that pair of children which differs most.
    """
    import anndata
    import scanpy
    import scipy.sparse as sp

    for n in (60, 200, 1000, 3000):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            mean, depth = rng.gamma(0.3, 1.0, GENES), DEPTH * rng.lognormal(0, 0.3, n)
            counts = rng.poisson(mean / mean.sum() * depth[:, None]).astype(np.float32)
            data = anndata.AnnData(sp.csr_matrix(counts))
            scanpy.pp.normalize_total(data, target_sum=1e4)
            scanpy.pp.log1p(data)
            scanpy.pp.pca(data, n_comps=COMPONENTS)
            graph = connectivities(nearest_neighbors(np.asarray(data.obsm["X_pca"], np.float32), 15))
            block = Block(data.X.tocsr(), slice(0, n), slice(0, GENES))
            for resolution in (0.2, 0.5, 1.0, 2.0):
                labels = partition(graph, PartitionSpec("leiden", resolution), load_engine(STAND_IN)).labels
                parts = int(labels.max()) + 1
                (of,) = moments([block], [labels], GENES)
                told = child_markers([of.group(np.array([part])) for part in range(parts)])
                both = np.minimum(told.counts(1.0), told.counts(1.0).T)
                row = {"cells": n, "seed": seed, "resolution": resolution, "parts": parts}
                yield row | {"together": told.telling(1.0).mutual, "best pair": int(both.max())}


def trees(path: str, resolutions: list[float], known: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each way, resolution, level and known column: splits, those that are refused, agreement."""
    import anndata

    obs = anndata.read_h5ad(path, backed="r").obs
    truths = {name: obs[name].astype("string").to_numpy(dtype=object, na_value="") for name in known if name in obs}
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server:
        for way, more in WAYS.items():  # the same cache for all
            task = Task(path, resolutions=tuple(resolutions), more=more, ensemble="auto")
            _, document = command(task.config(Path(folder)), server, f"{folder}/home")
            report = document["datasets"]["data/file"]
            table, tree = (
                pd.read_parquet(report["labels"]),
                anndata.read_zarr(report["output"]).uns["clustering"]["tree"],
            )
            for column in table.columns:
                base, level = column.split("_")[1], int(column.split("_")[2])
                above = tree[(tree["column"] == f"leiden_{base}_{max(level - 1, 1)}") & (tree["level"] == level - 1)]
                tried = above[above["key"] != ""]
                refused = int(tried["reason"].str.startswith(REFUSED).sum())
                splits = refused + int((tried["n_children"] > 1).sum())
                for name, truth in truths.items():
                    clusters, ari, nmi = agreement(truth, table[column].astype(str).to_numpy())
                    row = {"rule": way, "resolution": float(base), "level": level, "splits": splits, "refused": refused}
                    yield row | {"known": name, "clusters": clusters, "ari": round(ari, 3), "nmi": round(nmi, 3)}


if __name__ == "__main__":
    main()
