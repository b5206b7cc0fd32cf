"""One partition from many seeded runs: what all of them put together is contracted, and partitioned again.

Here it is said what an ensemble is: how many runs, with which seeds, and how they are joined.
Core groups, iterated: M. Ovelgönne and A. Geyer-Schulz, "An ensemble learning strategy for graph clustering",
10th DIMACS implementation challenge (2012). Vertices that all runs put together, and that hang together in the
graph, are one core. In the graph of the cores each run goes on from where it was; what they put together now are the
next cores. The graph of those is partitioned several times from nothing, what these put together are the next cores,
until their number no longer falls. From the best partition that was seen, by its quality in the whole graph, Leiden
goes on in the whole graph: cells at the rims of cores, which cores hold back, find their place. The best is the result.
Each cluster is connected: Leiden's clusters are, and so are cores; one of an engine's that is not falls into its parts,
which never lowers modularity. What was tried and measured is told in docs/stability.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.engine_cellstrata import Ordered, ordered
from cellstrata.tasks.kernels.engines import PartitionSpec
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

SCHEME = 3  # raise it when the same runs give another partition, or `auto` another number of runs
FEW, MOST = 3, 8  # runs of `auto`: it begins with few, and if they do not agree there are most
AGREED = 0.95  # the mean adjusted Rand index over pairs of runs from which they agree
JOINED_BY = "cellstrata"  # the engine of the contracted steps, whichever made the runs
STRIDE = 1_000  # between the seeds of two ensembles: their runs are never the same
SEEDS = 1 << 31  # what every engine takes
CONTRACTED_RUNS, CONTRACTED_ITERATIONS = 8, 2  # in each round but the first; Leiden's own, in all
LAST_ITERATIONS = 2  # of Leiden in the whole graph
MOST_ROUNDS = 50

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Consensus:
    """What came of many runs.

    `labels` is (n,) int32 in any numbering, `quality` its modularity at the resolution asked for. `agreement` is the
    mean adjusted Rand index over all pairs of runs, 1 for a single run. `cores` are the numbers of cores by round.
    """

    labels: Labels
    quality: float
    agreement: float
    cores: tuple[int, ...]


def run_spec(spec: PartitionSpec, number: int) -> PartitionSpec:
    """Return what is asked of an ensemble's run, counted from 0.

    A larger ensemble has the runs of a smaller one, and more. Ensembles of up to 1,000 runs with different seeds
    have none in common (below 2 million, from where seeds begin anew).
    """
    return replace(spec, ensemble=1, seed=run_seed(spec.seed, number))


def run_seed(seed: int, number: int) -> int:
    """Return the seed of a run, or of any other draw, counted from 0, where a split has this seed."""
    return (seed * STRIDE + number) % SEEDS


def first_runs(spec: PartitionSpec) -> int:
    """Return how many runs an ensemble has at least."""
    return FEW if spec.ensemble == "auto" else spec.ensemble


def all_runs(spec: PartitionSpec) -> int:
    """Return how many runs a partition is made of at most."""
    return 1 if not spec.joins_runs else MOST if spec.ensemble == "auto" else spec.ensemble


def runs_wanted(spec: PartitionSpec, runs: Sequence[Labels]) -> int:
    """Return how many runs an ensemble has in all, once the first of them, each (n,) int32, are there."""
    few = first_runs(spec)
    if spec.ensemble != "auto" or agreement(runs[:few]) >= AGREED:
        return few
    return MOST


def consensus(
    graph: Graph, spec: PartitionSpec, runs: Sequence[Labels], prepared: Callable[[], Ordered] | None = None
) -> Consensus:
    """Join runs over one graph, each (n,) int32 in any numbering, into one partition.

    `spec` is that of the runs; its seed and the order of the runs decide the contracted steps. `prepared`
    returns our engine's form of the graph, if the caller has it.
    """
    form = prepared() if prepared else ordered(graph.n_vertices, graph.edges, graph.weights)
    whole = _Contracted.of(graph, form if spec.use_weights else form.unweighted(), weighted=spec.use_weights)
    best, quality = whole.best(runs, spec.resolution)
    agreed = agreement(runs)
    if agreed == 1.0:  # nothing is left to be decided
        best, quality = whole.connected(best, quality, spec.resolution)
        return Consensus(best, quality, agreed, (len(np.unique(best)),))
    counts: list[int] = []
    cores = whole.cores(runs)
    while cores.n_vertices < (counts[-1] if counts else graph.n_vertices) and len(counts) < MOST_ROUNDS:
        counts.append(cores.n_vertices)
        starts: list[Labels | None] = [None] * CONTRACTED_RUNS
        if len(counts) == 1:
            starts = [cores.of_groups(run) for run in runs]
        found = cores.partitions(spec, CONTRACTED_RUNS * len(counts), starts)
        reached = [cores.quality(labels, spec.resolution) for labels in found]
        if max(reached) > quality:
            quality, best = max(reached), found[int(np.argmax(reached))][cores.members]
        cores = cores.cores(found)
    refined = whole.form.partition(spec.resolution, run_seed(spec.seed, 0), LAST_ITERATIONS, best)
    best, quality = whole.best([best, refined], spec.resolution)
    return Consensus(*whole.connected(best, quality, spec.resolution), agreed, tuple(counts))


def agreement(runs: Sequence[Labels]) -> float:
    """Return the mean adjusted Rand index over all pairs of runs; 1 where none can differ."""
    pairs = [adjusted_rand_index(one, other) for at, one in enumerate(runs) for other in runs[:at]]
    return float(np.mean(pairs)) if pairs else 1.0


@dataclass(frozen=True)
class _Contracted:
    """A graph whose vertices are groups of the first one's.

    `members` is (n,): the group of each vertex of the first. `edges` is (m, 2), `weights` (m,) float64, without those
    within a group; `strengths` (n_vertices,) float64 has them. `made` is our engine's form, where it is there already.
    """

    members: npt.NDArray[np.integer]
    n_vertices: int
    edges: npt.NDArray[Any]
    weights: npt.NDArray[np.float64]
    strengths: npt.NDArray[np.float64]
    made: Ordered | None = None

    @classmethod
    def of(cls, graph: Graph, form: Ordered, *, weighted: bool = True) -> _Contracted:
        """Return a graph as it is; `form` is our engine's, with its weights or without."""
        n, edges = graph.n_vertices, graph.edges
        weights = graph.weights.astype(np.float64) if weighted else np.ones(len(edges))
        strengths = _sums(edges[:, 0], weights, n) + _sums(edges[:, 1], weights, n)
        return cls(np.arange(n), n, edges, weights, strengths, form)

    @cached_property
    def form(self) -> Ordered:
        """It as our engine takes it."""
        return self.made or ordered(self.n_vertices, self.edges, self.weights, self.strengths)

    def cores(self, runs: Sequence[Labels]) -> _Contracted:
        """Contract what all runs put together and what hangs together."""
        count, group = self.form.common_parts(runs)
        a, b = self.edges[:, 0], self.edges[:, 1]
        low, high = np.minimum(group[a], group[b]).astype(np.int64), np.maximum(group[a], group[b]).astype(np.int64)
        between = low != high
        keys, inverse = np.unique(low[between] * count + high[between], return_inverse=True)
        weights = _sums(inverse, self.weights[between], len(keys))
        edges = np.column_stack([keys // count, keys % count])
        return _Contracted(group[self.members], count, edges, weights, _sums(group, self.strengths, count))

    def quality(self, labels: Labels, resolution: float) -> float:
        """Return the modularity in the first graph of a partition of the groups, (n_vertices,)."""
        twice = self.strengths.sum()  # each edge counts for both its ends
        within = twice - 2 * self.weights[labels[self.edges[:, 0]] != labels[self.edges[:, 1]]].sum()
        of_clusters = np.bincount(labels, self.strengths)
        return float(within / twice - resolution * np.square(of_clusters / twice).sum())

    def of_groups(self, labels: Labels) -> Labels:
        """Return the labels of the groups, (n_vertices,), of a partition of the first graph that tears none."""
        found = np.zeros(self.n_vertices, np.int32)
        found[self.members] = labels
        return found

    def partitions(self, spec: PartitionSpec, first: int, starts: Sequence[Labels | None]) -> list[Labels]:
        """Partition by Leiden, once from each start, None being each vertex alone; seeds are counted from the `first`.

        The strengths have the weight within groups, so what is found is best by the modularity of the first graph.
        """
        return [
            self.form.partition(spec.resolution, run_seed(spec.seed, first + at), CONTRACTED_ITERATIONS, start)
            for at, start in enumerate(starts)
        ]

    def best(self, runs: Sequence[Labels], resolution: float) -> tuple[Labels, float]:
        """Return the first of the best partitions of the groups, each (n_vertices,), and its quality."""
        qualities = [self.quality(labels, resolution) for labels in runs]
        at = int(np.argmax(qualities))
        return np.asarray(runs[at], np.int32), qualities[at]

    def connected(self, labels: Labels, quality: float, resolution: float) -> tuple[Labels, float]:
        """Return a partition and its quality, with the parts of clusters that do not hang together as clusters."""
        count, parts = self.form.common_parts([labels])
        if count == len(np.unique(labels)):
            return labels, quality
        return parts, self.quality(parts, resolution)


def _sums(group: npt.NDArray[Any], values: npt.NDArray[np.float64], number: int) -> npt.NDArray[np.float64]:
    """Return the sum of the values of each group, (number,)."""
    return np.bincount(group, values, number).astype(np.float64, copy=False)
