"""`python -m benchmarks.quality DATA …`: how good partitions of level 1 are, and how far other seeds find them again.

One graph for each file (X_pca, 15 neighbors), and for each resolution: single runs of igraph's Leiden with 2 iterations
and to convergence, the best of eight converged ones, and ensembles (`tasks/kernels/ensemble.py`) of so many runs, each
repeated with other seeds. Prints a line for each, and with `--json FILE` writes all: modularity at the resolution,
mean adjusted Rand index over all pairs of repetitions, CPU seconds of one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import PartitionSpec, engine_version, load_engine
from cellstrata.tasks.kernels.ensemble import consensus, run_spec
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

Labels = npt.NDArray[np.int32]
OTHER = 500_000  # seeds of single runs: none is one of an ensemble's


def main() -> None:
    """Measure each file at each resolution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="DATA", help="an h5ad with X_pca")
    parser.add_argument("--resolutions", type=float, nargs="+", default=[0.2, 0.5, 1.0, 2.0])
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 16], help="sizes of the ensembles")
    parser.add_argument("--repeat", type=int, default=3, help="with how many seeds each is repeated")
    parser.add_argument(
        "--converged", action="store_true", help="with converged runs too, and the best of eight of them"
    )
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    rows = [
        row
        for path in options.data
        for row in _rows(path, options.resolutions, options.runs, options.repeat, options.converged)
    ]
    if options.json:
        document = {"engine": engine_version(load_engine("igraph")), "rows": rows}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


def _rows(
    path: str, resolutions: list[float], sizes: list[int], repeat: int, converged: bool
) -> Iterator[dict[str, Any]]:
    with h5py.File(path) as file:
        embedding = file["obsm/X_pca"][:].astype(np.float32)
    graph = connectivities(nearest_neighbors(embedding, 15, "euclidean"))
    single = _single(graph)
    for resolution in resolutions:
        for name, way in _ways(graph, single, resolution, sizes, converged).items():
            started = time.process_time()
            found = [way(seed) for seed in range(repeat)]
            seconds = (time.process_time() - started) / repeat
            pairs = itertools.combinations(found, 2)
            yield _told(
                data=Path(path).stem,
                resolution=resolution,
                what=name,
                quality=[round(graph.modularity(labels, resolution), 5) for labels in found],
                ari=round(float(np.mean([adjusted_rand_index(one, other) for one, other in pairs])), 4),
                cpu=round(seconds, 2),
            )


def _ways(
    graph: Graph, single: Callable[[PartitionSpec], Labels], resolution: float, sizes: list[int], converged: bool
) -> dict[str, Callable[[int], Labels]]:
    def leiden(seed: int, n_iterations: int = -1) -> Labels:
        return single(PartitionSpec("leiden", resolution, seed=OTHER + seed, n_iterations=n_iterations))

    def quality(labels: Labels) -> float:
        return graph.modularity(labels, resolution)

    ways: dict[str, Callable[[int], Labels]] = {"single, 2 iterations": lambda seed: leiden(seed, 2)}
    if converged:
        ways["single, converged"] = leiden
        ways["best of 8 converged"] = lambda seed: max((leiden(8 * seed + at) for at in range(8)), key=quality)
    return ways | {f"ensemble of {size}": _ensemble(graph, single, resolution, size) for size in sizes}


def _single(graph: Graph) -> Callable[[PartitionSpec], Labels]:
    engine = load_engine("igraph")
    form = engine.prepare(graph)
    return lambda spec: np.asarray(engine.partition(form, spec), np.int32)


def _ensemble(
    graph: Graph, single: Callable[[PartitionSpec], Labels], resolution: float, size: int
) -> Callable[[int], Labels]:
    def way(seed: int) -> Labels:
        spec = PartitionSpec("leiden", resolution, seed=seed, ensemble=size)
        return consensus(graph, spec, [single(run_spec(spec, number)) for number in range(size)]).labels

    return way


def _told(**row: Any) -> dict[str, Any]:
    low, high = min(row["quality"]), max(row["quality"])
    print(
        f"{row['data']:<24}{row['resolution']:<5}{row['what']:<22}Q {low:.4f} to {high:.4f}  ARI {row['ari']:.3f}"
        f"  {row['cpu']:7.2f} CPU s",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
