"""The evidence for a node's split, found in the cache or gathered, and what its rules make of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.evidence.batches import BatchSpread, batch_spread
from cellstrata.tasks.evidence.effect import Labels
from cellstrata.tasks.evidence.evidence import SCHEME, Evidence, evidence_for
from cellstrata.tasks.evidence.halves import MOST_CELLS
from cellstrata.tasks.evidence.stop import reason_at_once, reason_of_evidence, reason_of_markers
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import engine_version
from cellstrata.tasks.kernels.faiss_search import Floats
from cellstrata.tasks.kernels.knn import method_for
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import Guard, partition
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.trees.entries import find_entry
from cellstrata.tasks.trees.judgement import NOTHING, Judgement
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import NodeSplit, graph_of, rows_of
from cellstrata.tasks.trees.split_markers import find_markers
from cellstrata.tasks.trees.tree import Pending


def evidence_key(plan: TreePlan, pending: Pending, split: NodeSplit) -> str:
    """Return the key of a split's evidence: the split, the rows that are halved, how they are searched, how often."""
    draws, neighbors = plan.draws, pending.spec.neighbors
    points = split.facts.cells if pending.path else plan.embeddings[neighbors.embedding].digest
    half, place = min(pending.n_cells, MOST_CELLS) // 2, plan.placement
    return digest_values(
        kind="evidence",
        scheme=SCHEME,
        split=split.key,
        points=points,
        neighbors=[neighbors.n_neighbors, neighbors.metric, place.knn_method(half) or method_for(half)],
        engine=engine_version(place.engine_for(half)),
        halves=draws.halves,
        null=draws.null,
    )


@dataclass(frozen=True)
class Gathered:
    """Evidence, its record in the cache, and whether it was gathered just now."""

    evidence: Evidence
    record: Record
    computed: bool


def find_evidence(plan: TreePlan, pending: Pending, split: NodeSplit, cache: Cache) -> Gathered | None:
    """Return the evidence for a split that the cache has."""
    found = find_entry(cache, evidence_key(plan, pending, split), "evidence", Evidence.from_json)
    return None if found is None else Gathered(*found, computed=False)


def gather_evidence(
    plan: TreePlan, pending: Pending, split: NodeSplit, cache: Cache, *, refresh: bool = False
) -> Gathered:
    """Find or gather the evidence for a split of at least two clusters.

    Halves are clustered with the split's own parameters, each by a single run.

    Raises
    ------
    DamagedEntry
        If the embedding or graph is not what it was when the run began.
    """
    if not refresh and (found := find_evidence(plan, pending, split, cache)):
        return found
    started = time.perf_counter()
    points, spec = rows_of(plan, pending, cache), pending.spec
    evidence = evidence_for(
        points,
        graph_of(plan, pending, cache, points),
        split.labels(cache),
        _clustering(plan, pending),
        plan.draws,
        n_voters=spec.neighbors.n_neighbors,
        metric="cosine" if spec.neighbors.metric == "cosine" else "euclidean",
        seed=spec.partition.seed,
    )
    evidence = replace(evidence, seconds=round(time.perf_counter() - started, 4))
    body = {"split": split.key, **evidence.to_json()}
    record = cache.write_record("evidence", evidence_key(plan, pending, split), body)
    return Gathered(evidence, record, computed=True)


def judge(
    plan: TreePlan,
    pending: Pending,
    split: NodeSplit,
    cache: Cache,
    *,
    anew: bool = False,
    markers_anew: bool = False,
) -> Judgement:
    """Say whether a split stands, as far as that is known now; nothing is gathered. `anew` passes over the evidence
    that is there, so that it is gathered again, `markers_anew` over the markers of its children."""
    facts, rules = split.facts, plan.stop_rules(pending.path, pending.node.attempt)
    if len(facts.sizes) < 2:
        return NOTHING
    batches = _batches(plan, pending, split, cache)
    donors = batches[0][1] if batches else ()
    reason = reason_at_once(rules, facts.sizes, facts.agreement, donors)
    # Nothing depends on what happens to be there, and is not asked for.
    asked = plan.evidence is not None or (reason is None and rules.asks_halves)
    found = find_evidence(plan, pending, split, cache) if asked and not anew else None
    evidence = found.evidence if found else None
    key = found.record.key if found else None
    if reason is None and rules.asks_halves:
        if evidence is None:
            return Judgement(wanted=True, batches=batches)
        reason = reason_of_evidence(rules, evidence)
    judged = Judgement(reason=reason, evidence=evidence, evidence_key=key, batches=batches)
    if reason is not None or not rules.asks_markers:  # a pass over the values comes last
        return judged
    told = None if markers_anew else find_markers(plan, pending, split, cache)
    if told is None:
        return replace(judged, untold=True)
    markers = told[0].telling(rules.fold_change)
    reason = reason_of_markers(rules, markers)
    return replace(judged, reason=reason, markers=markers, markers_key=told[1].key)


def needs_evidence(plan: TreePlan, split: NodeSplit, judged: Judgement) -> bool:
    """Tell whether evidence is still to be gathered for a split: to know whether it stands, or for its own sake."""
    return judged.wanted or (plan.evidence is not None and judged.evidence is None and len(split.facts.sizes) > 1)


def judge_whole(
    plan: TreePlan,
    pending: Pending,
    split: NodeSplit,
    cache: Cache,
    *,
    refresh: bool = False,
    markers_anew: bool = False,
) -> tuple[Judgement, Gathered | None]:
    """Say whether a split stands, and what of evidence was needed for it and is not there is gathered.

    Markers of its children are not: they need the input.

    Raises
    ------
    DamagedEntry
        As `gather_evidence`.
    """
    judged = judge(plan, pending, split, cache, anew=refresh, markers_anew=markers_anew)
    if not needs_evidence(plan, split, judged):
        return judged, None
    gathered = gather_evidence(plan, pending, split, cache, refresh=refresh)
    return judge(plan, pending, split, cache, markers_anew=markers_anew), gathered


def _batches(
    plan: TreePlan, pending: Pending, split: NodeSplit, cache: Cache
) -> tuple[tuple[str, tuple[BatchSpread, ...]], ...]:
    if not plan.batches:
        return ()
    labels = split.labels(cache)
    return tuple(
        (
            batch.column,
            _spread(cache.view(batch.codes)[pending.node.rows], labels, len(batch.groups), split.facts.sizes),
        )
        for batch in plan.batches
    )


def _spread(codes: Labels, labels: Labels, n_groups: int, sizes: Sequence[int]) -> tuple[BatchSpread, ...]:
    return tuple(batch_spread(codes[labels == child], n_groups) for child in range(len(sizes)))


def _clustering(plan: TreePlan, pending: Pending) -> Callable[[Floats, int], Labels]:
    """Return what clusters rows with a split's own parameters, but by a single run."""
    neighbors, placement = pending.spec.neighbors, plan.placement
    guard = Guard(placement.max_cluster_factor, placement.wish == "required")

    def cluster(points: Floats, seed: int) -> Labels:
        if not len(points):
            return np.zeros(0, np.int32)
        found = neighbors_by(placement.knn_method(len(points)), points, neighbors.n_neighbors, neighbors.metric)
        asked = replace(pending.spec.partition, seed=seed, ensemble=1)
        return partition(connectivities(found), asked, placement.engine_for(len(points)), guard=guard).labels

    return cluster
