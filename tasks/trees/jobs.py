"""One piece of work for a worker: nodes to split, found in the cache or computed, and what is below them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellstrata.configs.evidence import AGAIN, AUTO, NEVER, StopRules
from cellstrata.configs.hierarchy import LevelParameters
from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.evidence.evidence import SCHEME
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.trees.neighbor_lists import FROM_LISTS
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.runs import RunsWanted
from cellstrata.tasks.trees.split import node_key, split
from cellstrata.tasks.trees.split_evidence import gather_evidence, judge_whole
from cellstrata.tasks.trees.tree import Pending, Tree


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work: these nodes, and all that is below them if `recurse`.

    Picklable and small: a plan, row numbers, and the address of the cache. `looked_up` says that just now
    the cache had no entry of its key; `listed` are the entries that it had, where that is known. `runs_made` are
    those of an ensemble that have just now been made, where its runs are jobs of their own. With `evidence` it is
    that for the split of its one node, which the cache has, that is gathered.
    """

    key: str
    plan: TreePlan
    nodes: tuple[Pending, ...]
    cache: Cache
    recurse: bool = False
    refresh: bool = False
    looked_up: bool = False
    listed: frozenset[str] | None = None
    runs_made: int | None = None
    evidence: bool = False

    @property
    def n_cells(self) -> int:
        """The cells of the topmost nodes."""
        return sum(pending.n_cells for pending in self.nodes)

    @property
    def on_gpu(self) -> bool:
        """Tell whether a GPU is to do it, or the first and largest part of it."""
        return any(self.plan.placement.choose(pending.n_cells).on_gpu for pending in self.nodes)


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """What came of a job: `executed` are the keys of the splits that were really computed, of `splits` in all.

    `entries` are the records of all, which whoever asked need not read again; its JSON is without them. Where
    `more_runs` is set nothing was split: an ensemble needs more runs than were made.
    """

    key: str
    executed: tuple[str, ...]
    splits: int
    seconds: float
    entries: tuple[Record, ...] = ()
    more_runs: bool = False

    @classmethod
    def of_cached(cls, record: Record) -> JobReport:
        """Tell of a job whose record, of a split or a bundle, the cache has: nothing was executed."""
        splits = record.body["splits"] if record.kind == "bundle" else [record.key]
        return cls(key=record.key, executed=(), splits=len(splits), seconds=record.body.get("seconds", 0.0))

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values, as Prefect keeps them."""
        said = {"key": self.key, "executed": list(self.executed), "splits": self.splits, "seconds": self.seconds}
        return {**said, "more_runs": True} if self.more_runs else said

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> JobReport:
        """Read what `to_json` wrote. Raises WrongJson if it is not that."""
        said = JsonObject.of(document)
        return cls(
            key=said.text("key"),
            executed=said.texts("executed"),
            splits=said.whole("splits"),
            seconds=said.number("seconds"),
            more_runs=bool(said.truth_or_none("more_runs")),
        )


def jobs_key(jobs: Sequence[Job]) -> str:
    """Return the key of jobs that go together: that of the only one, else one of its own for just these."""
    if len(jobs) == 1:
        return jobs[0].key
    return digest_values(kind="found", jobs=[job.key for job in jobs])


def run_job(job: Job) -> JobReport:
    """Split the nodes of a job, finding in the cache what is there.

    Raises
    ------
    DamagedEntry
        If an embedding in the cache is not what it was when the run began.
    """
    started = time.perf_counter()
    with job.cache.for_job(job.listed) as cache:
        if job.looked_up:
            cache.note_absent(job.key)
        try:
            entries, executed = _evidence(job, cache) if job.evidence else _grown(job, cache)
        except RunsWanted:
            return JobReport(key=job.key, executed=(), splits=0, seconds=0.0, more_runs=True)
        seconds = round(time.perf_counter() - started, 4)
        made = [record.key for record in entries if record.kind == "split"]
        if job.recurse:
            others = [record.key for record in entries if record.kind == "evidence"]
            facts = {"splits": made, "n_cells": job.n_cells, "seconds": seconds}
            body = {**facts, "evidence": others} if others else facts
            entries.append(cache.write_record("bundle", job.key, body))  # whose splits are looked up one by one
        cache.settle()
    return JobReport(key=job.key, executed=tuple(executed), splits=len(made), seconds=seconds, entries=tuple(entries))


def _grown(job: Job, cache: Cache) -> tuple[list[Record], list[str]]:
    """Return the records of all splits of a job, and the keys of those that were computed."""
    executed: list[str] = []
    entries: list[Record] = []
    tree = Tree(job.plan)
    waiting = _looked_ahead(job, cache, job.nodes)
    while waiting:
        pending = waiting.pop()
        found = split(job.plan, pending, cache, refresh=job.refresh, runs_made=job.runs_made)
        entries.append(found.record)
        if found.computed:
            executed.append(found.key)
        if job.recurse:
            judged, gathered = judge_whole(job.plan, pending, found, cache, refresh=job.refresh)
            assert not judged.untold  # of such a plan each cluster is a job by itself
            if gathered is not None:
                entries.append(gathered.record)
            labels = found.labels(cache)
            children = tree.close(pending, found.key, found.facts, labels, executed=found.computed, judged=judged)
            waiting += _looked_ahead(job, cache, [opened for child in children if (opened := tree.open(child))])
    return entries, executed


def _evidence(job: Job, cache: Cache) -> tuple[list[Record], list[str]]:
    """Return the record of the evidence for a node's split, and its key where it was gathered just now."""
    (pending,) = job.nodes
    gathered = gather_evidence(job.plan, pending, split(job.plan, pending, cache), cache, refresh=job.refresh)
    return [gathered.record], [gathered.record.key] if gathered.computed else []


def _looked_ahead(job: Job, cache: Cache, nodes: Sequence[Pending]) -> list[Pending]:
    """Return the nodes, what the cache has of them looked up together."""
    if not job.refresh and len(nodes) > 1:
        cache.look_ahead(node_key(job.plan, node, cache) for node in nodes)
    return list(nodes)


_NEWER = ("ensemble", "stop", "embedding")  # parameters that keys say nothing of where they are not given


def bundle_key(plan: TreePlan, nodes: tuple[Pending, ...], cache: Cache) -> str:
    """Return the key of small clusters that are split together with all that is below them."""
    asked = plan.hierarchy
    below = [
        asked.depth,
        asked.deepest_blanket,
        sorted([level, _said(p)] for level, p in asked.levels.items()),
        sorted([list(path), p and _said(p)] for path, p in asked.clusters.items()),
    ]
    parts = [[list(node.path), node_key(plan, node, cache)] for node in nodes]
    base = [plan.partition.resolution, plan.partition.n_iterations, plan.partition.seed, plan.min_cells]
    joined = {"ensemble": plan.partition.ensemble} if plan.partition.joins_runs else {}
    neighbors = [plan.neighbors.n_neighbors, plan.neighbors.metric, str(plan.neighbors.embedding)]
    own = {node.spec.neighbors.embedding for node in nodes}  # their rows are part of the nodes' keys
    others = sorted([str(choice), ref.digest] for choice, ref in plan.embeddings.items() if {choice} != own)
    place = plan.placement  # on which side of its threshold are those below?
    gpu = {"n_cell_cpu": place.n_cell_cpu} if any(place.choose(node.n_cells).on_gpu for node in nodes) else {}
    return digest_values(
        kind="bundle", parts=parts, hierarchy=below, base=base, neighbors=neighbors, embeddings=others,
        **gpu, **joined, **_lists(plan, nodes), **_judged_by(plan, nodes),
    )  # fmt: skip


def _lists(plan: TreePlan, nodes: tuple[Pending, ...]) -> dict[str, object]:
    """Return the lists from which neighbours of these cells or some of them may be taken, and the cells' numbers."""
    if not plan.all_lists or all(node.n_cells < FROM_LISTS for node in nodes):
        return {}
    return {"lists": sorted(lists.key for lists in plan.all_lists), "rows": [digest_array(n.node.rows) for n in nodes]}


def _judged_by(plan: TreePlan, nodes: tuple[Pending, ...]) -> dict[str, object]:
    """Return what decides below which splits there are others, where anything does."""
    rules = [plan.stop, *plan.hierarchy.all_rules()]
    said: dict[str, object] = {}
    if plan.evidence is not None or any(each.asks_halves for each in rules):
        said["scheme"] = SCHEME
    if plan.evidence is not None:
        said["evidence"] = [plan.evidence.halves, plan.evidence.null]
    if any(each != NEVER for each in rules):
        said["stop"] = _bounds(plan.stop)
        if plan.batches:
            said["donors"] = [plan.batches[0].codes.digest, [digest_array(node.node.rows) for node in nodes]]
    if plan.hierarchy.until_stable:
        said["until_stable"] = True
        if AUTO in rules:
            said["again"] = _bounds(AGAIN)
    return said


def _said(level: LevelParameters) -> dict[str, object]:
    """Return a level's parameters as the key has them: what is newer than the key only where it is given."""
    said = {name: value for name, value in level.model_dump().items() if name not in _NEWER or value is not None}
    return said if level.stop is None else {**said, "stop": _bounds(level.stop)}


def _bounds(rules: StopRules) -> dict[str, object]:
    return rules.model_dump(exclude_none=True)
