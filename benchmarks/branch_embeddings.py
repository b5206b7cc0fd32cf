"""`python -m benchmarks.branch_embeddings H5AD --json FILE`: do embeddings of their own find more below level 1?

A file with X (logarithms), X_pca and known labels is clustered by ensembles of eight at three levels. Clusters are
split on the embedding of all cells (`reuse`), on a PCA of their own (`pca`), and on one of genes that vary among them
(`hvg_pca`). Each level is compared with each column of known labels, means over seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.contestants import Task, command
from benchmarks.rows import KNOWN
from benchmarks.server import running_server

WAYS: dict[str, dict[str, Any]] = {
    "reuse": {},
    "pca": {"embedding": "pca"},
    "hvg_pca": {"embedding": {"method": "hvg_pca", "n_top_genes": 1000, "n_comps": 30}},
}


def main() -> None:
    """Measure, print a table, and write the rows."""
    parser = argparse.ArgumentParser("python -m benchmarks.branch_embeddings", description=__doc__)
    parser.add_argument("data", help="an h5ad with X, X_pca and known labels")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--known", nargs="*", default=list(KNOWN), help="obs columns of known labels")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    options = parser.parse_args()
    found = measured(options.data, options.resolutions, options.seeds, options.known)
    print(pd.DataFrame(found).to_string(index=False))
    if options.json:
        Path(options.json).write_text(json.dumps({"data": Path(options.data).stem, "rows": found}, indent=1) + "\n")


def measured(path: str, resolutions: list[float], seeds: int, known: list[str]) -> list[dict[str, Any]]:
    """Return a row for each known column, resolution, level and way: clusters, ARI and NMI, means over seeds."""
    import anndata

    obs = anndata.read_h5ad(path, backed="r").obs
    columns = {name: obs[name].astype("string").to_numpy(dtype=object, na_value="") for name in known if name in obs}
    numbers: dict[tuple[str, float, int, str], list[tuple[int, float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, running_server(f"{folder}/server") as server:
        for seed in range(seeds):
            for way, more in WAYS.items():
                place = Path(folder) / way / str(seed)
                place.mkdir(parents=True)
                task = Task(path, resolutions=tuple(resolutions), more={"seed": seed, **more}, ensemble=8)
                _, document = command(task.config(place), server, f"{folder}/home")
                table = pd.read_parquet(document["datasets"]["data/file"]["labels"])
                for name, truth in columns.items():
                    for resolution in resolutions:
                        for level in (1, 2, 3):
                            labels = table[f"leiden_{resolution}_{level}"].astype(str).to_numpy()
                            numbers[name, resolution, level, way].append(agreement(truth, labels))
    keys = ("known", "resolution", "level", "way")
    return [
        dict(zip(keys, key, strict=True))
        | dict(zip(("clusters", "ari", "nmi"), np.mean(each, axis=0).round(3).tolist(), strict=True))
        for key, each in sorted(numbers.items())
    ]


def agreement(truth: Any, labels: Any) -> tuple[int, float, float]:
    """Return how many clusters there are, their ARI and their NMI with known labels; cells without one are left out."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    there = truth != ""
    pair = truth[there], labels[there]
    return len(set(labels)), float(adjusted_rand_score(*pair)), float(normalized_mutual_info_score(*pair))


if __name__ == "__main__":
    main()
