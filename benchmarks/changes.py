"""`python -m benchmarks.changes DATA.h5ad`: what each change to a run makes it compute, expected and counted.

Three resolutions, three levels, on a graph that is computed. The expected numbers come from the trees
themselves: keys of splits in the changed run's tree that no run before it had.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from configs.model import RunConfig

RESOLUTIONS = [0.2, 0.5, 1.0]


def main() -> None:
    """Run the base and every change after it, and print a row each."""
    parser = argparse.ArgumentParser("python -m benchmarks.changes", description=__doc__)
    parser.add_argument("data")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("PREFECT_HOME", f"{folder}/prefect")
        os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
        from flows.embedded_server import EmbeddedServer

        server = EmbeddedServer()
        server.start()
        os.environ["PREFECT_API_URL"] = server.url
        server.wait()
        try:
            _table(Path(options.data), Path(folder))
        finally:
            server.stop()


def _table(data: Path, folder: Path) -> None:
    seen: set[str] = set()
    print(f"{'change':52} {'expected':>9} {'counted':>8} {'cached':>7} {'seconds':>8}")

    def row(name: str, datasets: dict[str, tuple[Path, dict[str, Any]]], **more: Any) -> None:
        report = _run(folder, datasets, **more)
        keys = {key for one in report["datasets"].values() for key in _keys(one["output"])}
        splits = [one["splits"] for one in report["datasets"].values()]
        expected, counted = len(keys - seen), sum(one["executed"] for one in splits)
        if more.get("refresh"):
            expected = len(keys)
        seen.update(keys)
        mark = "" if counted == expected else "  <- differs"
        cached = sum(one["cached"] for one in splits)
        print(f"{name:52} {expected:9} {counted:8} {cached:7} {report['seconds']:8.1f}{mark}", flush=True)

    base: dict[str, Any] = {"hierarchy": 3}
    row("cold", {"a": (data, base)})
    row("identical", {"a": (data, base)})
    renamed = folder / "renamed.h5ad"
    adata = anndata.read_h5ad(data)
    adata.obs["added"] = 1.5
    adata.write_h5ad(renamed)
    row("the file renamed, an obs column added", {"a": (renamed, base)})
    row("other colours", {"a": (renamed, base | {"umap_colors": ["added"]})})
    row("the same cells in a second dataset, in other order", {"b": (renamed, base), "a": (data, base)})
    row("one worker, threads", {"a": (data, base)}, runner="threads", workers=1)
    row("another grain", {"a": (data, base)}, grain=500)
    row("one added resolution", {"a": (data, base)}, resolutions=[*RESOLUTIONS, 0.8])
    own = {"levels": {2: {}, 3: {}}, "clusters": {"3": {"resolution": 0.4}}}
    row("cluster 3 with its own resolution", {"a": (data, base | {"hierarchy": own})})
    row("a deeper hierarchy", {"a": (data, base | {"hierarchy": 4})})
    row("another seed", {"a": (data, base | {"seed": 1})}, resolutions=[0.5])
    adata.obsm["X_pca"] = np.array(adata.obsm["X_pca"])
    adata.obsm["X_pca"][0, 0] += 1e-3
    touched = folder / "touched.h5ad"
    adata.write_h5ad(touched)
    row("one value of one cell changed", {"a": (touched, base)})
    row("refresh", {"a": (data, base)}, refresh=True)


def _run(
    folder: Path, datasets: dict[str, tuple[Path, dict[str, Any]]], resolutions: list[float] = RESOLUTIONS, **more: Any
) -> dict[str, Any]:
    from flows.cluster import cluster

    common = {"algorithm": "leiden", "resolutions": resolutions, "recompute_neighbors": True}
    given = {
        name: {"input": {"clustering": {"f": str(path)}}, "clustering": common | settings}
        for name, (path, settings) in datasets.items()
    }
    config = RunConfig(output_dir=f"{folder}/out", cache=f"{folder}/cache", DATASETS=given, **more)
    report: dict[str, Any] = asyncio.run(cluster(config))
    return report


def _keys(output: str) -> set[str]:
    tree = anndata.read_zarr(output).uns["clustering"]["tree"]
    return set(tree["key"]) - {""}


if __name__ == "__main__":
    main()
