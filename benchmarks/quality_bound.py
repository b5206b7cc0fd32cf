"""The bound of `auto`: from which agreement of few runs on more of them change nothing.

For level 1 and each of its clusters that is large enough to be split: how far the few runs with which `auto` begins
agree, and how far ensembles of few and of most runs with other seeds agree among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.quality_partitions import Row, agreements
from benchmarks.quality_trees import NEIGHBORS, Data
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.ensemble import FEW, MOST, agreement, consensus, run_spec
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn import nearest_neighbors

LARGEST = 50_000  # cells: a larger split takes minutes
BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)  # lower ends of the rows; the last holds runs that are equal


def rows(data: Sequence[Data], resolutions: Sequence[float], seeds: int) -> Iterator[Row]:
    """Yield a row for each range of agreement, over the splits of all data."""
    points = [point for one in data for resolution in resolutions for point in _points(one, resolution, seeds)]
    names = sorted({one.name for one in data})
    for low, high in zip(BINS, (*BINS[1:], 2.0), strict=True):
        inside = [point for point in points if low <= point[0] < high]
        if inside:
            _, few, most = np.mean(inside, axis=0)
            yield {
                "data": names,
                "agreement_from": low,
                "splits": len(inside),
                f"ari_of_{FEW}": round(float(few), 4),
                f"ari_of_{MOST}": round(float(most), 4),
            }


def _points(data: Data, resolution: float, seeds: int) -> Iterator[tuple[float, float, float]]:
    """Yield of each split the agreement of few runs, and that of ensembles of few and of most."""
    spec = PartitionSpec("leiden", resolution)
    clusters = data.tree(resolution, 1, 0).labels[0]
    parts = [np.flatnonzero(clusters == number) for number in range(clusters.max() + 1)]
    for cells in [np.arange(len(clusters)), *parts]:
        if 2 * NEIGHBORS <= len(cells) <= LARGEST:
            own = np.ascontiguousarray(data.embedding[cells])
            graph = data.graph if len(cells) == len(clusters) else connectivities(nearest_neighbors(own, NEIGHBORS))
            yield _point(graph, spec, seeds)


def _point(graph: Graph, spec: PartitionSpec, seeds: int) -> tuple[float, float, float]:
    engine = load_engine(STAND_IN)
    form = engine.prepare(graph)
    few, most, agreed = [], [], []
    for seed in range(seeds):
        own = PartitionSpec("leiden", spec.resolution, seed=seed)
        runs: list[Any] = [np.asarray(engine.partition(form, run_spec(own, at)), np.int32) for at in range(MOST)]
        agreed.append(agreement(runs[:FEW]))
        few.append(consensus(graph, own, runs[:FEW]).labels)
        most.append(consensus(graph, own, runs).labels)
    means = [found["mean"] for found in map(agreements, (few, most)) if found]
    return float(np.mean(agreed)), means[0], means[1]
