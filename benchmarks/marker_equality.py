"""`python -m benchmarks.marker_equality H5AD --json FILE`: are markers those of scanpy, to 1e-5?

A file with X (logarithms, log1p of counts or of anything) is clustered at three levels. All genes of all clusters are
compared with `sc.tl.rank_genes_groups`: against all (`reference='rest'`), against sisters (the cells of the parent
alone), and, where a parent has two children, against the one sister (`reference=` its name). The result is written as
h5ad and zarr, CSR, CSC and dense, with X as it is and, where the logarithms are those of whole numbers, with these as
int32 and `normalize`. The rows tell the largest differences, and how many numbers differ by more than 1e-5, absolute
and relative. Scores of scanpy are float32, and it is given float64 values.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import scanpy as sc
import scipy.sparse as sp

from benchmarks.contestants import Task, command
from benchmarks.server import running_server
from cellstrata.configs.markers import METHODS
from cellstrata.tasks.results.marker_genes import MarkerRequest, write_markers
from cellstrata.tasks.stores.places import Place

CLOSE = 1e-5
FIELDS = {"score": "scores", "log_fold_change": "logfoldchanges", "p": "pvals", "p_adjusted": "pvals_adj"}
STORED: dict[str, Any] = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda values: values.toarray()}
Numbers = dict[tuple[str, str, str], pd.DataFrame]  # by column, cluster and what it is compared with


def main() -> None:
    """Compare, print a row for each method and form, and write the rows."""
    parser = argparse.ArgumentParser("python -m benchmarks.marker_equality", description=__doc__)
    parser.add_argument("data", help="an h5ad with X and X_pca")
    parser.add_argument("--resolution", type=float, default=0.5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--json", metavar="FILE", help="write the measurements here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = clustered(options.data, options.resolution, Path(folder))
        packages = {name: version(name) for name in ("cellstrata", "scanpy", "anndata", "numpy", "scipy")}
        document: dict[str, Any] = {"data": Path(options.data).stem, "versions": packages, "rows": []}
        for row in compared(result, options.methods, Path(folder)):
            print(json.dumps(row), flush=True)
            document["rows"].append(row)
            if options.json:  # after each: scanpy takes minutes for some hundred clusters
                Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


def clustered(path: str, resolution: float, folder: Path) -> anndata.AnnData:
    """Return the result of a run of three levels, in memory."""
    with running_server(f"{folder}/server") as server:
        task = Task(str(Path(path).resolve()), resolutions=(resolution,))
        _, document = command(task.config(folder), server, f"{folder}/home")
    made = anndata.read_zarr(document["datasets"]["data/file"]["output"])
    return anndata.AnnData(
        sp.csr_matrix(made.X), obs=made.obs, var=made.var[[]], uns={"clustering": made.uns["clustering"]}
    )


def compared(result: anndata.AnnData, methods: list[Any], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each kind of values, method and form: how far ours are from scanpy's."""
    for kind, values, logs in _kinds(result.X):
        paths = dict(_written(result, values, folder / kind))
        for method in methods:
            theirs = scanpys(result, logs, method)
            for form, path in paths.items():
                found = ours(path, method, normalize=kind == "int32", n_genes=result.n_vars)
                yield {"values": kind, "method": method, "form": form, **differences(found, theirs)}


def _kinds(x: sp.csr_matrix) -> Iterator[tuple[str, sp.csr_matrix, sp.csr_matrix]]:
    """Yield X as it is, and as counts where it is the logarithm of these, both with the logarithms in float64."""
    yield "float32", x.astype(np.float32), x.astype(np.float64)
    counts = np.rint(np.expm1(x.data.astype(np.float64)))
    if np.abs(np.log1p(counts) - x.data).max() < 1e-4:
        whole = sp.csr_matrix((counts.astype(np.int32), x.indices, x.indptr), shape=x.shape)
        made = anndata.AnnData(whole.astype(np.float32))
        sc.pp.normalize_total(made, target_sum=1e4)
        sc.pp.log1p(made)
        yield "int32", whole, sp.csr_matrix(made.X).astype(np.float64)


def _written(result: anndata.AnnData, values: sp.csr_matrix, folder: Path) -> Iterator[tuple[str, str]]:
    folder.mkdir()
    for name, stored in STORED.items():
        made = result.copy()
        made.X = stored(values)
        made.write_h5ad(folder / f"{name}.h5ad")
        yield f"h5ad {name}", str(folder / f"{name}.h5ad")
        made.write_zarr(folder / f"{name}.zarr")
        yield f"zarr {name}", str(folder / f"{name}.zarr")


def ours(path: str, method: Any, *, normalize: bool, n_genes: int) -> Numbers:
    """Return what `cellstrata markers` finds, by gene."""
    found = write_markers(Place(path), MarkerRequest(method=method, normalize=normalize, n_genes=n_genes, min_cells=2))
    table = pq.read_table(found.table).to_pandas()
    keys = ["column", "cluster", "against"]
    return {tuple(map(str, key)): of.set_index("gene") for key, of in table.groupby(keys, observed=True)}


def scanpys(result: anndata.AnnData, logs: sp.csr_matrix, method: str) -> Numbers:
    """Return the same of scanpy, and under `one sister` what it finds against the only other child of a parent."""
    tree = result.uns["clustering"]["tree"]
    found: Numbers = {}
    for column in [name for name in dict.fromkeys(tree["column"]) if name in result.obs]:
        labels = result.obs[column].astype(str).to_numpy()
        sizes = pd.Series(labels).value_counts()
        rows = tree[(tree["column"] == column) & (tree["cluster"] != "all")]
        found |= _tested(logs, labels, result.var_names, method, column, "all", sizes)
        for _, family in rows.groupby("parent"):
            cells = np.isin(labels, family["cluster"])
            if len(family) > 1:
                some = logs[cells], labels[cells], result.var_names, method, column
                found |= _tested(*some, "sisters", sizes)
                if len(family) == 2:
                    found |= _tested(*some, "one sister", sizes, reference=str(family["cluster"].iloc[0]))
    return found


def _tested(
    logs: sp.csr_matrix, labels: npt.NDArray[Any], genes: pd.Index, method: str, column: str, against: str,
    sizes: pd.Series, reference: str = "rest",
) -> Numbers:  # fmt: skip
    n = len(labels)
    groups = [of for of in np.unique(labels) if sizes[of] > 1 and n - sizes[of] > 1 and of != reference]
    if not groups or (reference != "rest" and sizes[reference] < 2):
        return {}
    obs = pd.DataFrame({"of": pd.Categorical(labels)}, index=[f"c{i}" for i in range(n)])
    made = anndata.AnnData(logs, obs=obs, var=pd.DataFrame(index=genes))
    asked = groups if reference == "rest" else [*groups, reference]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(
            made,
            "of",
            groups=asked,
            reference=reference,
            method=method,
            tie_correct=method == "wilcoxon",
            use_raw=False,
        )
    of = made.uns["rank_genes_groups"]
    return {
        (column, group, against): pd.DataFrame(
            {name: of[theirs][group] for name, theirs in FIELDS.items()}, index=of["names"][group]
        )
        for group in groups
    }


def differences(ours: Numbers, theirs: Numbers) -> dict[str, Any]:
    """Return how many comparisons and numbers there are, the largest differences, and how many are beyond 1e-5."""
    largest: dict[str, float] = defaultdict(float)
    beyond: dict[str, int] = defaultdict(int)
    n = 0
    for (column, cluster, against), table in theirs.items():
        own = ours[column, cluster, "sisters" if against == "one sister" else against].loc[table.index]
        n += len(table)
        for name in FIELDS:
            a, b = own[name].to_numpy(np.float64), table[name].to_numpy(np.float64)
            apart = np.abs(a - b)
            apart[(a == b) | (np.isnan(a) & np.isnan(b))] = 0  # infinite ones, too
            largest[name] = max(largest[name], float(apart.max()))
            part = apart / np.maximum(np.abs(b), 1)
            largest[f"{name}, relative"] = max(largest[f"{name}, relative"], float(part.max()))
            beyond[name] += int((~(apart <= CLOSE + CLOSE * np.abs(b))).sum())
    said = {name: float(f"{value:.2g}") for name, value in largest.items()}
    return {"comparisons": len(theirs), "genes": n, "beyond": dict(beyond), "largest": said}


if __name__ == "__main__":
    main()
