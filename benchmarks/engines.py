"""`python -m benchmarks.engines DATA … --json FILE`: engines side by side on one graph, level 1 alone.

Each partitions the graph of 15 neighbors at four resolutions with five seeds, on one thread. Prints and writes the mean
quality (modularity at the resolution), the mean CPU seconds of a partition, and those of preparing the graph.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cluster_neighbors import ClusterNeighbors
from cellstrata.tasks.elements.reading import open_anndata, read_obsm
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import PartitionSpec, engine_version, load_engine
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.stores.places import Place

RESOLUTIONS, SEEDS = (0.2, 0.5, 1.0, 2.0), 5


def main() -> None:
    """Measure each engine on each file."""
    parser = argparse.ArgumentParser("python -m benchmarks.engines", description=__doc__)
    parser.add_argument("data", nargs="+", help="h5ad or zarr files with an embedding")
    parser.add_argument("--use_rep", default="X_pca", help="the embedding (default: %(default)s)")
    parser.add_argument(
        "--engines", nargs="+", default=["cellstrata:2", "igraph:2", "libreville:2"],
        help="names and iterations (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", help="write the measurements here")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in options.data:
        with open_anndata(Place(path)) as root:
            embedding = np.ascontiguousarray(read_obsm(root, options.use_rep), np.float32)
        graph = connectivities(ClusterNeighbors(embedding, 15).whole())
        for asked in options.engines:
            name, n_iterations = asked.split(":")
            rows += measured(Path(path).stem, graph, name, int(n_iterations))
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


def measured(data: str, graph: Graph, name: str, n_iterations: int) -> list[dict[str, Any]]:
    """Return a row for each resolution."""
    engine = load_engine(name)
    engine.partition(engine.prepare(graph), PartitionSpec("leiden", 1.0, n_iterations=1))  # what is compiled is loaded
    started = time.process_time()
    prepared = engine.prepare(graph)
    preparing, rows = time.process_time() - started, []
    for resolution in RESOLUTIONS:
        specs = [PartitionSpec("leiden", resolution, n_iterations=n_iterations, seed=seed) for seed in range(SEEDS)]
        started = time.process_time()
        found = [partition(graph, spec, engine, lambda: prepared).quality for spec in specs]
        cpu = (time.process_time() - started) / SEEDS
        quality = {"quality": float(np.mean(found)), "lowest": min(found), "highest": max(found)}
        rows.append(
            {"data": data, "engine": engine_version(engine), "n_iterations": n_iterations, "resolution": resolution,
             **{what: round(value, 5) for what, value in quality.items()}, "cpu": round(cpu, 2),
             "prepare": round(preparing, 2)}
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
