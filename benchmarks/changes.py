"""`python -m benchmarks.changes DATA.h5ad`: what each change to a run makes it compute, expected and counted.

Three resolutions, three levels, on a graph that is computed. What is expected is said for each change
in terms of the tree (`concerned`: which clusters' splits may be new) and counted in the tree that came
out: the distinct splits of those clusters that no run before had. A split computed anywhere else, or one
that is missing, makes the numbers differ. So with the graphs of sub-clusters, which depend on their
cells and neighbours alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd

from cellstrata.configs.model import RunConfig

RESOLUTIONS = [0.2, 0.5, 1.0]
Concerned = Callable[[pd.DataFrame], Any]


def main() -> None:
    """Run the base and every change after it, and print a row each."""
    parser = argparse.ArgumentParser("python -m benchmarks.changes", description=__doc__)
    parser.add_argument("data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
        from cellstrata.flows.server.embedded_server import EmbeddedServer

        servers = [EmbeddedServer() for _ in range(2)]
        servers[0].start()
        os.environ["PREFECT_HOME"] = f"{folder}/another"
        servers[1].start()
        os.environ["PREFECT_API_URL"] = servers[0].url
        try:
            for server in servers:
                server.wait()
            table = Table(Path(folder))
            _rows(table, Path(options.data), Path(folder), servers[1].url)
        finally:
            for server in servers:
                server.stop()
    sys.exit(table.differs > 0)


def _rows(table: Table, data: Path, folder: Path, other_server: str) -> None:
    from cellstrata.tasks.kernels import engines

    row, base = table.row, {"hierarchy": 3}
    row("cold", {"a": (data, base)}, everything)
    row("identical", {"a": (data, base)}, nothing)
    renamed, copied, touched = (folder / f"{name}.h5ad" for name in ("renamed", "copied", "touched"))
    adata = anndata.read_h5ad(data)
    adata.obs["added"] = 1.5
    adata.write_h5ad(renamed)
    shutil.copyfile(data, copied)
    row("the file renamed, an obs column added", {"a": (renamed, base)}, nothing)
    row("the file copied", {"a": (copied, base)}, nothing)
    row("other colours", {"a": (renamed, base | {"umap_colors": ["added"]})}, nothing)
    row("a second dataset of the same cells", {"a": (data, base), "b": (renamed, base)}, nothing)
    row("the datasets in another order", {"b": (renamed, base), "a": (data, base)}, nothing)
    row("another runner, one worker", {"a": (data, base)}, nothing, runner="threads", workers=1)
    row("three workers", {"a": (data, base)}, nothing, workers=3)
    row("another grain", {"a": (data, base)}, nothing, grain=500)
    row("another Prefect server", {"a": (data, base)}, nothing, server=other_server)
    row("one added resolution", {"a": (data, base)}, of("leiden_0.8"), resolutions=[*RESOLUTIONS, 0.8])
    finer: dict[str, Any] = {"levels": {2: {}, 3: {"resolution": 0.7}}}
    row("another resolution at level 3", {"a": (data, {"hierarchy": finer})}, level(2))
    own: dict[str, Any] = {"levels": {2: {}, 3: {}}, "clusters": {"3": {"resolution": 0.4}}}
    row("cluster 3 with its own resolution", {"a": (data, {"hierarchy": own})}, below("3"))
    row("a deeper hierarchy", {"a": (data, {"hierarchy": 4})}, level(3))
    wider: dict[str, Any] = {"levels": {2: {}, 3: {"n_neighbors": 20}}}
    row("other neighbours at level 3", {"a": (data, {"hierarchy": wider})}, level(2))
    row("another seed", {"a": (data, base | {"seed": 1})}, everything, resolutions=[0.5])
    adata.obsm["X_pca"] = np.array(adata.obsm["X_pca"])
    adata.obsm["X_pca"][0, 0] += 1e-3
    adata.write_h5ad(touched)
    row("one value of one cell changed", {"a": (touched, base)}, table.cells_are_new)
    version = engines._version
    engines._version = lambda package: "99.0"  # type: ignore[assignment]
    row("another version of the engine", {"a": (data, base)}, everything, runner="threads")
    engines._version = version
    row("refresh", {"a": (data, base)}, everything, refresh=True)


def everything(tree: pd.DataFrame) -> Any:
    """All splits may be new."""
    return tree["level"] >= 0


def nothing(tree: pd.DataFrame) -> Any:
    """No split may be new."""
    return tree["level"] < 0


def of(column: str) -> Concerned:
    """Only those of the tree of one algorithm and resolution."""
    return lambda tree: tree["column"].str.rpartition("_")[0] == column


def level(number: int) -> Concerned:
    """Only those of the clusters of one level."""
    return lambda tree: tree["level"] == number


def below(cluster: str) -> Concerned:
    """Only those of one cluster and of all below it."""
    return lambda tree: (tree["cluster"] == cluster) | tree["cluster"].str.startswith(f"{cluster}_")


class Table:
    """Runs over one cache, and what is known of its splits and graphs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys: set[str] = set()
        self.graphs: set[tuple[Any, ...]] = set()
        self.cells: set[str] = set()
        self.differs = 0
        head = f"{'splits':>17} {'':9} {'graphs':>17}\n{'change':40} {'expected':>9} {'counted':>8} {'cached':>8}"
        print(f"{'':40}{head} {'expected':>9} {'counted':>8} {'seconds':>8}")

    def row(self, name: str, datasets: dict[str, tuple[Path, Any]], concerned: Concerned, **more: Any) -> None:
        """Run a configuration and print what was expected of it and what it did."""
        before = self._stored_graphs()
        report = _run(self.folder, datasets, **more)
        splits = [one["splits"] for one in report["datasets"].values()]
        trees = [anndata.read_zarr(one["output"]).uns["clustering"]["tree"] for one in report["datasets"].values()]
        tree = pd.concat(trees)
        tree = tree[tree["key"] != ""]
        may = tree[concerned(tree)]
        refresh = more.get("refresh", False)
        expected = len(set(may["key"]) - (set() if refresh else self.keys))
        graphs = len(_graphs(may) - self.graphs)  # the root's is a graph too
        counted, built = sum(one["executed"] for one in splits), self._stored_graphs() - before
        self.keys |= set(tree["key"])
        self.graphs |= _graphs(tree)
        self.cells |= set(tree["cells"])
        wrong = (counted, built) != (expected, graphs)
        self.differs += wrong
        print(
            f"{name:40} {expected:9} {counted:8} {sum(one['cached'] for one in splits):8} {graphs:9} {built:8} "
            f"{report['seconds']:8.1f}{'  <- differs' if wrong else ''}",
            flush=True,
        )

    def cells_are_new(self, tree: pd.DataFrame) -> Any:
        """Only those of clusters whose cells, with these values, were in none before."""
        return ~tree["cells"].isin(self.cells)

    def _stored_graphs(self) -> int:
        return sum('"kind":"graph"' in file.read_text() for file in self.folder.glob("cache/v1/records/*/*.json"))


def _graphs(tree: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(zip(tree["cells"], tree["n_neighbors"], strict=True))


def _run(
    folder: Path,
    datasets: dict[str, tuple[Path, dict[str, Any]]],
    resolutions: list[float] = RESOLUTIONS,
    server: str = "",
    **more: Any,
) -> dict[str, Any]:
    if server:  # in another process, since Prefect's client does not change its server
        with patch.dict(os.environ, PREFECT_API_URL=server), ProcessPoolExecutor(1, get_context("spawn")) as process:
            return process.submit(_run, folder, datasets, resolutions, **more).result()
    from cellstrata.flows.cluster import cluster

    common = {"algorithm": "leiden", "resolutions": resolutions, "recompute_neighbors": True}
    given = {
        name: {"input": {"clustering": {"f": str(path)}}, "clustering": common | settings}
        for name, (path, settings) in datasets.items()
    }
    config = RunConfig(output_dir=f"{folder}/out", cache=f"{folder}/cache", DATASETS=given, **more)
    report: dict[str, Any] = asyncio.run(cluster(config))
    return report


if __name__ == "__main__":
    main()
