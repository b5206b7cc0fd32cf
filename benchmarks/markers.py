"""`python -m benchmarks.markers`: marker genes of two columns of clusters, against scanpy's t-test, in turn.

Synthetic counts, cells × genes, a share of them not zero, in an h5ad file as a result has them. Ours is the command
`cellstrata markers`, from the file to the table. scanpy's way is a fresh process that reads the file into memory,
normalizes it, and calls `sc.tl.rank_genes_groups` for each column; what the calls alone take is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.measure import measure

SCANPY = """
import sys, time, json, warnings
warnings.simplefilter("ignore")
import anndata, scanpy as sc
adata = anndata.io.read_h5ad(sys.argv[1])
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
started = time.perf_counter()
for column in sys.argv[3:]:
    sc.tl.rank_genes_groups(adata, column, method=sys.argv[2], n_genes=100, tie_correct=True)
print(json.dumps({"tests": time.perf_counter() - started}))
"""
ROWS = 5_000  # that are made at a time


def main() -> None:
    """Write the data, measure both in turn, print a row for each turn."""
    parser = argparse.ArgumentParser("python -m benchmarks.markers", description=__doc__)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--filled", type=float, default=0.05, help="share that is not zero (default: %(default)s)")
    parser.add_argument("--clusters", type=int, default=60, help="of each column (default: %(default)s)")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--method", default="t-test")
    parser.add_argument("--compression", help="of the file: gzip, lzf (default: none, as anndata's)")
    parser.add_argument("--form", default="csr", choices=("csr", "csc"))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--without_scanpy", action="store_true")
    parser.add_argument("--folder", help="where the data go and stay (default: a folder that is removed)")
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        path = folder / f"counts-{options.cells}-{options.genes}-{options.form}-{options.compression}.h5ad"
        if not path.exists():
            write_counts(path, options)
        rows = [_turn(str(path), options) for _ in range(options.repeat)]
    if options.json:
        Path(options.json).write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def write_counts(path: Path, options: argparse.Namespace) -> None:
    """Write counts of clusters that differ a little, as a result of two columns at level 1."""
    rng = np.random.default_rng(0)
    n, genes = options.cells, options.genes
    names = [f"leiden_{number + 1}.0_1" for number in range(options.columns)]
    codes = [rng.integers(0, options.clusters, n) for _ in names]
    weights = rng.gamma(0.5, 1, (options.clusters, genes))
    weights = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    blocks = []
    for start in range(0, n, ROWS):
        block = []
        for cluster in codes[0][start : start + ROWS]:
            drawn = np.searchsorted(weights[cluster], rng.random(int(1.1 * options.filled * genes)))
            block.append(np.unique(np.minimum(drawn, genes - 1)))
        lengths = [len(row) for row in block]
        values = (1 + rng.poisson(0.5, sum(lengths))).astype(np.float32)
        parts = (values, np.concatenate(block).astype(np.int32), np.cumsum([0, *lengths]))
        blocks.append(sp.csr_matrix(parts, shape=(len(block), genes)))
    matrix: Any = sp.vstack(blocks, format="csr")
    print(f"{matrix.nnz / n / genes:.3f} of {n:,} x {genes:,} filled", file=sys.stderr)
    obs = pd.DataFrame(
        {name: pd.Categorical(of.astype(str)) for name, of in zip(names, codes, strict=True)},
        index=[f"c{i}" for i in range(n)],
    )
    made = anndata.AnnData(
        matrix if options.form == "csr" else matrix.tocsc(), obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(genes)]), uns={"clustering": record(obs)},
    )  # fmt: skip
    made.write_h5ad(path, compression=options.compression)


def record(obs: pd.DataFrame) -> dict[str, object]:
    """Return what a result says of itself, as far as markers need it."""
    rows = [
        {
            "column": name, "cluster": cluster, "parent": "", "level": 1, "n_cells": int(n), "n_children": 0,
            "reason": "last level", "resolution": 1.0, "n_neighbors": 15, "embedding": "X_pca", "metric": "euclidean",
            "modularity": np.nan, "engine": "", "key": "", "seconds": np.nan,
        }
        for name in obs
        for cluster, n in obs[name].value_counts().items()
    ]  # fmt: skip
    return {
        "made_by": "cellstrata",
        "columns": "{}",
        "tree": pd.DataFrame(rows, index=[str(i) for i in range(len(rows))]),
    }


def _turn(path: str, options: argparse.Namespace) -> dict[str, Any]:
    columns = [f"leiden_{number + 1}.0_1" for number in range(options.columns)]
    command = [sys.executable, "-m", "cellstrata", "markers", path, "--normalize", "--against", "all", "--json",
               "--method", options.method]  # fmt: skip
    ours = measure(command, dict(os.environ))
    row: dict[str, Any] = {"data": Path(path).stem, "method": options.method, "ours": _said(ours)}
    if not options.without_scanpy:
        theirs = measure([sys.executable, "-c", SCANPY, path, options.method, *columns], dict(os.environ))
        tests = json.loads(theirs.stdout.splitlines()[-1])["tests"]
        row |= {"scanpy": _said(theirs), "scanpy's calls": round(tests, 2)}
        row |= {"ratio": round(theirs.wall / ours.wall, 1), "ratio of calls": round(tests / ours.wall, 1)}
    print(json.dumps(row), flush=True)
    return row


def _said(run: Any) -> dict[str, float]:
    return {"wall": round(run.wall, 2), "cpu": round(run.cpu, 2), "peak_mb": round(run.peak_mb)}


if __name__ == "__main__":
    main()
