"""What is known of level 1 at each resolution of an algorithm: read from its splits and their evidence in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cellstrata.configs.evidence import AUTO, EvidenceConfig
from cellstrata.tasks.cache.cache import Cache, DamagedEntry
from cellstrata.tasks.evidence.evidence import Evidence
from cellstrata.tasks.evidence.stop import reason_of_evidence
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.graphs import read_graph
from cellstrata.tasks.trees.judgement import Judgement
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import find_split, node_key, root_node
from cellstrata.tasks.trees.split_evidence import judge
from cellstrata.tasks.trees.tree import Tree

NEAR = 0.05  # to resolution 1: from there on the two modularities of a split do not tell its parts to many digits
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class ResolutionFacts:
    """A partition of all cells, at one resolution.

    Attributes
    ----------
    resolution : float
    sizes : tuple of int
        The cells of each cluster, the largest first.
    within, expected : float
        The share of edge weight within clusters, and that in a random graph of the same strengths: modularity at any
        resolution is the first less the resolution times the second.
    agreement : float or None
        The mean adjusted Rand index over pairs of runs; None for a single run, as for the following.
    stability : float or None
        How far the runs have the cluster of a cell, the mean over all cells.
    evidence : Evidence or None
        None where none was asked for, and for a single cluster.
    reason : str or None
        Why the partition does not stand, None where it does, or nothing is known of that.
    next_alike : float or None
        The adjusted Rand index with the partition at the next higher resolution, None for the last.
    """

    resolution: float
    sizes: tuple[int, ...]
    within: float
    expected: float
    agreement: float | None = None
    stability: float | None = None
    evidence: Evidence | None = None
    reason: str | None = None
    next_alike: float | None = None

    @property
    def n_clusters(self) -> int:
        """How many clusters there are."""
        return len(self.sizes)


def sweep_plan(plan: TreePlan, draws: EvidenceConfig | None) -> TreePlan:
    """Return a plan of level 1 alone at the plan's own resolution, with evidence, by the same rules to stop."""
    own = plan.hierarchy.levels.get(1)
    levels = {} if own is None else {1: own.model_copy(update={"resolution": None})}
    hierarchy = replace(plan.hierarchy, depth=1, deepest_blanket=1, levels=levels, until_stable=False)
    return replace(plan, hierarchy=hierarchy, evidence=draws or EvidenceConfig())


def resolution_facts(plans: Sequence[TreePlan], cache: Cache) -> tuple[ResolutionFacts, ...] | None:
    """Return what is known of level 1 for plans of one algorithm, by ascending resolution; each resolution once.

    Nothing is computed but numbers. None where the cache lacks one of the splits.

    Raises
    ------
    DamagedEntry
        If labels are missing, or the graph of all cells.
    """
    found: dict[float, tuple[ResolutionFacts, Labels]] = {}
    for plan in plans:
        one = _read(plan, cache)
        if one is None:
            return None
        found.setdefault(one[0].resolution, one)
    ordered = [found[resolution] for resolution in sorted(found)]
    following: list[Labels | None] = [*(labels for _, labels in ordered[1:]), None]
    return tuple(
        replace(one, next_alike=None if other is None else adjusted_rand_index(labels, other))
        for (one, labels), other in zip(ordered, following, strict=True)
    )


def _read(plan: TreePlan, cache: Cache) -> tuple[ResolutionFacts, Labels] | None:
    pending = Tree(plan).open(root_node(plan))
    found = None if pending is None else find_split(cache, node_key(plan, pending, cache))
    if pending is None or found is None:
        return None
    facts, labels = found.facts, found.labels(cache)
    cells = found.stability(cache)
    within, expected = _parts(plan, facts, labels, cache)
    judged = judge(plan, pending, found, cache)
    return ResolutionFacts(
        resolution=facts.resolution,
        sizes=facts.sizes,
        within=within,
        expected=expected,
        agreement=facts.agreement,
        stability=None if cells is None else float(cells.mean(dtype=np.float64)),
        evidence=judged.evidence,
        reason=judged.reason or _by_evidence(plan, judged),
    ), labels


def _by_evidence(plan: TreePlan, judged: Judgement) -> str | None:
    """Why a partition does not stand by the rules of `stop: auto`, where its own ask for no evidence."""
    if plan.stop_rules(()).asks_halves or judged.evidence is None:
        return None
    return reason_of_evidence(AUTO, judged.evidence)


def _parts(plan: TreePlan, facts: SplitFacts, labels: Labels, cache: Cache) -> tuple[float, float]:
    """The two parts of modularity: from what it is at two resolutions, as the record tells, or measured at another."""
    if len(facts.sizes) < 2:
        return 1.0, 1.0
    other, quality = facts.resolution, facts.quality
    if abs(other - 1) < NEAR:
        other, quality = 2.0, _graph(plan, cache).modularity(labels, 2.0)
    expected = (facts.modularity - quality) / (other - 1)
    return facts.modularity + expected, expected


def _graph(plan: TreePlan, cache: Cache) -> Graph:
    found = read_graph(cache, plan.root_graph)
    if found is None:
        raise DamagedEntry(f"the graph {plan.root_graph} is gone from {cache.store.url} since the run began")
    return found[0]
