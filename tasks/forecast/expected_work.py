"""What a split that has not been tried yet may cost, with all that may come below it."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

from cellstrata.tasks.forecast.split_times import SplitTimes
from cellstrata.tasks.kernels.ensemble import all_runs
from cellstrata.tasks.trees.labels import Path
from cellstrata.tasks.trees.plan import LAST_LEVEL, SplitSpec, TreePlan


@dataclass
class Expected:
    """Seconds of one core by level, and those of the longest chain of splits that wait for one another."""

    levels: dict[int, float] = field(default_factory=dict)
    chain: float = 0.0

    @property
    def work(self) -> float:
        """The seconds of all levels."""
        return sum(self.levels.values())


@dataclass(frozen=True)
class Guess:
    """Guesses what is below a split: as many clusters of equal size as past splits of this size made.

    `seen` holds what has been counted, so that work which two trees share counts once. Clusters of fewer
    than `grain` cells are split one after the other, with all below them.
    """

    plan: TreePlan
    times: SplitTimes
    grain: int
    seen: set[Hashable]

    def of(self, path: Path, n_cells: int, spec: SplitSpec, identity: Hashable) -> Expected:
        """Return the work of a cluster's split, and of what may come below; `identity` is equal for equal splits."""
        own = 0.0
        if identity not in self.seen:
            asked = spec.partition
            own = self.times.split(n_cells, asked.algorithm, with_graph=bool(path), runs=all_runs(asked))
            if self.plan.asks_evidence(path):
                own += self.times.evidence(n_cells, asked.algorithm, self.plan.draws)
            self.seen.add(identity)
        expected, longest = Expected({len(path) + 1: own}), 0.0
        children = min(self.times.children(n_cells), n_cells)
        size = n_cells // max(children, 1)
        for child, count in self._siblings(path, children):
            opened = self._descend(child, size)
            if opened is None:
                continue
            below, its = opened
            same = children == 1 and its == spec
            one = self.of(below, size, its, identity if same else (identity, below[len(path) :], its))
            for level, seconds in one.levels.items():
                expected.levels[level] = expected.levels.get(level, 0.0) + count * seconds
            together = min(count, math.ceil(self.grain / size))
            longest = max(longest, one.work * together if size < self.grain else one.chain)
        expected.chain = own + longest
        return expected

    def _siblings(self, path: Path, children: int) -> list[tuple[Path, int]]:
        """Return the children that the hierarchy names, and one of the others for all of them."""
        depth = len(path)
        named = {cluster[depth] for cluster in self.plan.hierarchy.clusters
                 if len(cluster) > depth and cluster[:depth] == path}  # fmt: skip
        others = [number for number in range(children) if number not in named]
        own = [((*path, number), 1) for number in sorted(named) if number < children]
        return own + ([((*path, others[0]), len(others))] if others else [])

    def _descend(self, path: Path, n_cells: int) -> tuple[Path, SplitSpec] | None:
        """Follow a cluster down while it is left whole, as a tree does."""
        while isinstance(decision := self.plan.decide(path, n_cells), str):
            if decision == LAST_LEVEL:
                return None
            path = (*path, 0)
        return path, decision


def may_be_split(plan: TreePlan, path: Path, n_cells: int, level: int) -> bool:
    """Tell whether a cluster at or below `path`, of at most `n_cells` cells, may be split to make `level`."""
    named = [cluster for cluster in plan.hierarchy.clusters
             if len(cluster) == level - 1 and cluster[: len(path)] == path]  # fmt: skip
    unnamed = 1 + max((number for cluster in plan.hierarchy.clusters for number in cluster), default=0)
    other = path + (unnamed,) * (level - 1 - len(path))
    return any(isinstance(plan.decide(cluster, n_cells), SplitSpec) for cluster in [*named, other])
