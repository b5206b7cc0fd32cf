"""What a run would do for one tree: the splits that it would find in the cache, and those it would compute.

The tree is followed down as far as the cache knows its splits; nothing is computed and nothing written.
What lies below a split that is missing is not known: its cells are counted, its seconds guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.forecast.expected_work import Expected, Guess, may_be_split
from cellstrata.tasks.forecast.split_times import SplitTimes
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.kernels.ensemble import all_runs
from cellstrata.tasks.trees.labels import Path
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.plan import LAST_LEVEL, TreePlan
from cellstrata.tasks.trees.split import find_split, first_nodes, node_key
from cellstrata.tasks.trees.split_evidence import judge, needs_evidence
from cellstrata.tasks.trees.tree import Node, Pending, Tree

Seen = set[Hashable]


@dataclass(frozen=True)
class MissingSplit:
    """A split that is to be computed, as far as the tree is known."""

    path: Path
    n_cells: int
    key: str


@dataclass
class LevelForecast:
    """The splits that make one level, and their cells, by what a run does with them.

    `whole` counts the clusters that are left whole, by why. `unknown_cells` are those for which it is not known into
    which splits they will come; every cell is in one of the four, and where a cluster is tried again at other
    resolutions once for each attempt. `evidence` counts the splits for which it is known, `evidence_to_gather` those
    for which it is to be gathered, `markers` and `markers_to_find` the same of genes that tell children apart.
    `seconds` are those of one core, guessed where splits are unknown.
    """

    level: int
    cached: int = 0
    cached_cells: int = 0
    to_compute: int = 0
    to_compute_cells: int = 0
    whole: Counter[str] = field(default_factory=Counter)
    whole_cells: int = 0
    unknown_cells: int = 0
    evidence: int = 0
    evidence_to_gather: int = 0
    markers: int = 0
    markers_to_find: int = 0
    seconds: float = 0.0

    @property
    def computes(self) -> bool:
        """Tell whether anything is or may be computed."""
        return self.to_compute > 0 or self.unknown_cells > 0 or self.evidence_to_gather + self.markers_to_find > 0

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "level": self.level,
            "from_cache": self.cached,
            "from_cache_cells": self.cached_cells,
            "to_compute": self.to_compute,
            "to_compute_cells": self.to_compute_cells,
            "left_whole": dict(self.whole),
            "left_whole_cells": self.whole_cells,
            "unknown_cells": self.unknown_cells,
            "evidence": self.evidence,
            "evidence_to_gather": self.evidence_to_gather,
            "markers": self.markers,
            "markers_to_find": self.markers_to_find,
            "seconds": round(self.seconds, 3),
        }


@dataclass
class TreeForecast:
    """One algorithm at one resolution. The first `kept` levels are taken from the input as they are.

    `chain` is the seconds of the longest chain of splits that wait for one another. `ends_by_itself` tells that the
    number of its levels is a bound; `sweeps` that it is level 1 at a resolution that a sweep looks at.
    """

    algorithm: Algorithm
    resolution: float
    kept: int
    levels: dict[int, LevelForecast]
    missing: list[MissingSplit] = field(default_factory=list)
    chain: float = 0.0
    ends_by_itself: bool = False
    sweeps: bool = False

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        levels = [level.to_json() for level in self.levels.values()]
        own: dict[str, object] = {
            "algorithm": self.algorithm,
            "resolution": self.resolution,
            "kept_levels": self.kept,
            "levels": levels,
        }
        return own | ({"sweep": True} if self.sweeps else {})


def forecast_tree(
    tree: Tree,
    cache: Cache,
    times: SplitTimes,
    *,
    seen: Seen,
    refresh: bool = False,
    grain: int = 0,
    embedding_of: Callable[[Pending], OwnEmbedding | NoEmbedding | None] = lambda pending: None,
) -> TreeForecast:
    """Follow a tree down as far as the cache knows it; `tree` is new and grows on the way.

    A split that is met twice is computed once, and found the second time, as in a run; with `refresh`
    every split is computed. `embedding_of` returns the embedding of a cluster's own that the cache has.
    """
    plan = tree.plan
    levels = {level: LevelForecast(level) for level in tree.levels}
    forecast = TreeForecast(plan.algorithm, plan.resolution, tree.given.level if tree.given else 0, levels)
    forecast.ends_by_itself = plan.hierarchy.until_stable
    waiting = [(node, 0.0) for node in _first_nodes(tree)]
    while waiting:
        node, before = waiting.pop()
        pending = tree.open(node)
        if pending is None:
            continue
        if pending.waits:
            own_embedding = embedding_of(pending)
            if isinstance(own_embedding, NoEmbedding):
                waiting += [(child, before) for child in tree.leave(pending, own_embedding)]
                continue
            pending = replace(pending, own=own_embedding)
        level, n_cells = levels[len(pending.path) + 1], pending.n_cells
        key = _key(plan, pending, cache)
        found = find_split(cache, key) if key is not None else None
        if key is None:
            level.unknown_cells += n_cells
        elif not refresh and (found is not None or key in seen):
            level.cached, level.cached_cells = level.cached + 1, level.cached_cells + n_cells
        else:
            level.to_compute, level.to_compute_cells = level.to_compute + 1, level.to_compute_cells + n_cells
            forecast.missing.append(MissingSplit(pending.path, n_cells, key))
        if found is not None:
            asked, graph = pending.spec.partition, bool(pending.path)
            own = times.split(n_cells, asked.algorithm, with_graph=graph, runs=all_runs(asked)) if refresh else 0.0
            judged = judge(plan, pending, found, cache, anew=refresh, markers_anew=refresh)
            if needs_evidence(plan, found, judged):
                own += times.evidence(n_cells, asked.algorithm, plan.draws)
                level.evidence_to_gather += 1
            level.evidence += judged.evidence is not None
            level.markers, level.markers_to_find = (
                level.markers + (judged.markers is not None), level.markers_to_find + judged.untold
            )  # fmt: skip
            level.seconds += own
            forecast.chain = max(forecast.chain, before + own)
            labels = found.labels(cache)
            children = tree.close(pending, found.key, found.facts, labels, executed=False, judged=judged)
            waiting += [(child, before + own) for child in children]
        else:
            guess = Guess(plan, times, grain, set() if refresh else seen)
            expected = guess.of(pending.path, n_cells, pending.spec, key or (plan.name, id(tree), pending.path))
            _add_unknown(forecast, plan, pending, expected, before, grain)
    for path, outcome in tree.outcomes.items():
        if outcome.judged.reason is not None and outcome.key is not None:
            levels[len(path) + 1].whole[outcome.judged.reason.partition(":")[0]] += 1  # its cells count with its split
        if outcome.key is None and outcome.reason is not None and outcome.reason != LAST_LEVEL:
            level = levels[len(path) + 1]
            level.whole[outcome.reason.partition(":")[0]] += 1
            level.whole_cells += outcome.n_cells
    return forecast


def _add_unknown(
    forecast: TreeForecast, plan: TreePlan, pending: Pending, expected: Expected, before: float, grain: int
) -> None:
    """Count what is below a split that is not known yet, and the seconds expected of it and them."""
    alone = bool(pending.path) and pending.n_cells < grain  # with all below it, one after the other
    forecast.chain = max(forecast.chain, before + (expected.work if alone else expected.chain))
    for level, seconds in expected.levels.items():
        forecast.levels[level].seconds += seconds
    for level in range(len(pending.path) + 2, plan.depth + 1):
        if may_be_split(plan, pending.path, pending.n_cells, level):
            forecast.levels[level].unknown_cells += pending.n_cells
        else:
            forecast.levels[level].whole_cells += pending.n_cells


def _first_nodes(tree: Tree) -> list[Node]:
    unknown = tree.given is None and not tree.plan.root_graph  # its PCA is yet to be computed
    return [tree.root(None)] if unknown else first_nodes(tree)


def _key(plan: TreePlan, pending: Pending, cache: Cache) -> str | None:
    """Return the key of a split, None where the rows or the graph that it depends on are not known yet."""
    if not pending.path:
        return node_key(plan, pending, cache) if plan.root_graph else None
    if pending.own is not None:
        return node_key(plan, pending, cache)
    known = pending.node.digest is not None or pending.spec.neighbors.embedding in plan.embeddings
    return node_key(plan, pending, cache) if known else None
