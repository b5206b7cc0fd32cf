"""Level 1: how good single runs, the best of many and ensembles are, and how far other seeds find them again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.quality_kept import Kept, Labels, Timed
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.ensemble import SCHEME, consensus, first_runs, run_spec, runs_wanted
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

IGRAPH = "igraph"  # what single runs are held against, as they come and converged
OTHER = 500_000  # seeds of converged runs: none is one of an ensemble's
BEST_OF = 8
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """`sizes` of ensembles, each with `repeat` seeds; `converged` times the best of eight converged runs
    of igraph, 0 for nothing of igraph."""

    sizes: Sequence[int | str]
    repeat: int
    converged: int


@dataclass(frozen=True)
class Level1:
    """One graph, and the labels that are kept of it under the name of the data."""

    name: str
    graph: Graph
    kept: Kept

    @cached_property
    def _ours(self) -> Callable[[PartitionSpec], Any]:
        return self._of(STAND_IN)

    @cached_property
    def _igraphs(self) -> Callable[[PartitionSpec], Any]:
        return self._of(IGRAPH)

    def _of(self, name: str) -> Callable[[PartitionSpec], Any]:
        engine = load_engine(name)
        form = engine.prepare(self.graph)
        engine.partition(form, PartitionSpec("leiden", 1.0, n_iterations=1))  # what is compiled is loaded
        return lambda spec: engine.partition(form, spec)

    def rows(self, resolution: float, asked: Asked) -> Iterator[Row]:
        """Yield a row for each way to partition the graph."""
        _ = self._ours, asked.converged and self._igraphs  # the graph is prepared on nobody's clock
        seeds = range(asked.repeat)
        singles = [self._run(resolution, seed, at) for seed in seeds for at in range(BEST_OF)]
        yield self._row(resolution, "single", singles)
        if asked.converged:
            igraphs = [self._igraph(resolution, seed, at) for seed in seeds for at in range(BEST_OF)]
            yield self._row(resolution, "igraph", igraphs)
            every = [[self._converged(resolution, BEST_OF * seed + at) for at in range(BEST_OF)]
                     for seed in range(asked.converged)]  # fmt: skip
            yield self._row(resolution, "igraph, converged", [one for eight in every for one in eight])
            yield self._row(resolution, f"best of {BEST_OF} converged", [self._best(resolution, one) for one in every])
        for size in asked.sizes:
            made = [self._ensemble(resolution, seed, size) for seed in seeds]
            runs = [number for number, _ in made]
            yield self._row(resolution, f"ensemble {size}", [found for _, found in made]) | {"runs": runs}

    def _run(self, resolution: float, seed: int, number: int) -> Timed:
        """A run of an ensemble with a seed: a single run of two iterations."""
        spec = run_spec(PartitionSpec("leiden", resolution, seed=seed), number)
        return self.kept.get(f"{self.name} {resolution} our run {spec.seed}", lambda: self._ours(spec))

    def _igraph(self, resolution: float, seed: int, number: int) -> Timed:
        """The same of igraph."""
        spec = run_spec(PartitionSpec("leiden", resolution, seed=seed), number)
        return self.kept.get(f"{self.name} {resolution} run {spec.seed}", lambda: self._igraphs(spec))

    def _converged(self, resolution: float, number: int) -> Timed:
        spec = PartitionSpec("leiden", resolution, seed=OTHER + number, n_iterations=-1)
        return self.kept.get(f"{self.name} {resolution} converged {spec.seed}", lambda: self._igraphs(spec))

    def _best(self, resolution: float, runs: Sequence[Timed]) -> Timed:
        best = max(runs, key=lambda one: self.graph.modularity(one.labels, resolution))
        return Timed(best.labels, sum(one.cpu for one in runs))

    def _ensemble(self, resolution: float, seed: int, size: int | str) -> tuple[int, Timed]:
        """The number of runs, and what came of them; its seconds are the runs' and the joining's."""
        spec = PartitionSpec("leiden", resolution, seed=seed, ensemble=size)  # type: ignore[arg-type]
        runs = [self._run(resolution, seed, number) for number in range(first_runs(spec))]
        wanted = runs_wanted(spec, [one.labels for one in runs])
        runs += [self._run(resolution, seed, number) for number in range(len(runs), wanted)]
        joined = self.kept.get(
            f"{self.name} {resolution} scheme {SCHEME} of {wanted} seed {seed}",
            lambda: consensus(self.graph, spec, [one.labels for one in runs]).labels,
        )
        return wanted, Timed(joined.labels, joined.cpu + sum(one.cpu for one in runs))

    def _row(self, resolution: float, what: str, found: Sequence[Timed]) -> Row:
        return {
            "data": self.name,
            "resolution": resolution,
            "what": what,
            "quality": [round(self.graph.modularity(one.labels, resolution), 5) for one in found],
            "modularity": [round(self.graph.modularity(one.labels), 5) for one in found],
            "clusters": [len(np.unique(one.labels)) for one in found],
            "ari": agreements([one.labels for one in found]),
            "cpu": round(float(np.mean([one.cpu for one in found])), 2),
        }


def agreements(found: Sequence[Labels]) -> dict[str, float] | None:
    """Return the mean and the lowest adjusted Rand index over all pairs; None where there is no pair."""
    pairs = [adjusted_rand_index(one, other) for one, other in itertools.combinations(found, 2)]
    return {"mean": round(float(np.mean(pairs)), 4), "lowest": round(min(pairs), 4)} if pairs else None
