"""The bare loop: our own functions in one process on one core, without Prefect, cache or output."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from benchmarks.cluster_neighbors import ClusterNeighbors
from cellstrata.tasks.elements.reading import open_anndata, read_obsm
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.stores.places import Place


def bare_loop(path: str, use_rep: str, resolutions: list[float], depth: int, n_neighbors: int = 15) -> dict[str, Any]:
    """Cluster a file at several resolutions and levels.

    Returns `splits`, how many graphs were partitioned in all, and `modularity`, that of level 1 by column.
    """
    with open_anndata(Place(path)) as root:
        embedding = read_obsm(root, use_rep)
    engine = load_engine(STAND_IN)
    neighbors = ClusterNeighbors(embedding, n_neighbors)
    graph = connectivities(neighbors.whole())
    prepared = engine.prepare(graph)
    splits, modularity = 0, {}
    for resolution in resolutions:
        spec = PartitionSpec("leiden", resolution)
        first = partition(graph, spec, engine, lambda: prepared)
        clusters = [np.flatnonzero(first.labels == number) for number in range(len(first.sizes))]
        splits += 1
        for _ in range(2, depth + 1):
            below: list[np.ndarray] = []
            for rows in clusters:
                if len(rows) < 2 * n_neighbors:
                    below.append(rows)
                    continue
                own = connectivities(neighbors.of(rows))
                found = partition(own, spec, engine)
                splits += 1
                below += [rows[found.labels == number] for number in range(len(found.sizes))]
            clusters = below
        modularity[f"leiden_{resolution}_1"] = first.modularity
    return {"splits": splits, "modularity": modularity}


if __name__ == "__main__":
    path, use_rep, resolutions, depth, n_neighbors = sys.argv[1:]
    print(json.dumps(bare_loop(path, use_rep, json.loads(resolutions), int(depth), int(n_neighbors))))
