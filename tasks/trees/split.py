"""One function computes a split: rows of an embedding, their kNN graph, a partition, a record.

Level 1, level 7, the flow, a worker and a library call all go through `split`. Looking a node up
needs its digest alone; its rows are read only when it has to be computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import Cache, DamagedEntry, Record
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import Engine, engine_version
from cellstrata.tasks.kernels.gpu_check import check_on_cpu, in_sample
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import Guard, Partition, partition
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.trees.entries import find_entry
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.graphs import read_graph, write_graph
from cellstrata.tasks.trees.keys import graph_key, split_key
from cellstrata.tasks.trees.neighbor_lists import neighbors_from
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.prepared_graph import HeldGraph, prepared_graph
from cellstrata.tasks.trees.runs import RunsWanted, keeps_runs, run_of
from cellstrata.tasks.trees.tree import Node, Pending, Tree

KEPT_GRAPH = 1_000  # cells: a smaller graph is built as fast as it is found, and is not kept


@dataclass(frozen=True)
class NodeSplit:
    """A node's split: its facts, the record of the cache that has its labels, and whether it was computed just now."""

    facts: SplitFacts
    record: Record
    computed: bool

    @property
    def key(self) -> str:
        """Its key in the cache."""
        return self.record.key

    def labels(self, cache: Cache) -> npt.NDArray[np.int32]:
        """Read its labels, (n,) int32 in the order of the node's rows: the clusters' positions in `facts.sizes`.

        Raises
        ------
        DamagedEntry
            If they are missing or not what the record says.
        """
        return cache.array(self.record, "labels")

    def stability(self, cache: Cache) -> npt.NDArray[np.float32] | None:
        """Read how far its runs have the cluster of each cell, (n,) float32; None where it was a single run.

        Raises
        ------
        DamagedEntry
            As `labels`.
        """
        return cache.array(self.record, "stability") if self.facts.runs is not None else None


def node_key(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """Return the key of a node's split; its rows are read only if their digest is not known."""
    cells = _cells_of(plan, pending, cache)
    return _key_of(plan, pending, _graph_key_of(plan, pending, cells), plan.placement.engine_for(pending.n_cells))


def find_split(cache: Cache, key: str) -> NodeSplit | None:
    """Return a split that the cache has, whole and with all that every revision tells."""
    found = find_entry(cache, key, "split", SplitFacts.from_json)
    return None if found is None else NodeSplit(*found, computed=False)


def split(
    plan: TreePlan, pending: Pending, cache: Cache, *, refresh: bool = False, runs_made: int | None = None
) -> NodeSplit:
    """Find or compute the split of one node.

    `runs_made` tells that someone sees to an ensemble's runs, and has just now made so many.

    Raises
    ------
    DamagedEntry
        If the embedding or graph is not what it was when the run began.
    RunsWanted
        If someone sees to an ensemble's runs, and more are needed.
    """
    placement, spec = plan.placement, pending.spec
    choice, engine = placement.choose(pending.n_cells), placement.engine_for(pending.n_cells)
    cells = _cells_of(plan, pending, cache)
    graph_id = _graph_key_of(plan, pending, cells)
    key = _key_of(plan, pending, graph_id, engine)
    if not refresh and (found := find_split(cache, key)):
        return found
    started = time.perf_counter()
    stored = not pending.path and plan.root_graph_stored
    rows = None if stored else rows_of(plan, pending, cache)
    graph, method, built, prepared = _graph_of(plan, pending, cache, graph_id, rows, engine, refresh)
    guard = Guard(placement.max_cluster_factor, placement.wish == "required")
    kept = KeptRuns(plan, pending, cache, refresh, runs_made) if keeps_runs(pending) else None
    result = partition(graph, spec.partition, engine, prepared, guard, kept.run if kept else None)
    if result.fallback:
        prepared_graph.clear()  # the CPU may need what it holds of the device
    seconds = round(time.perf_counter() - started + (kept.seconds if kept else 0), 4)
    made_on_gpu = choice.on_gpu and result.engine == engine.name and result.note is None
    checked = made_on_gpu and in_sample(key, placement.gpu_check)
    asked = spec.partition
    facts = SplitFacts(
        n_cells=pending.n_cells,
        sizes=tuple(result.sizes),
        modularity=result.modularity,
        quality=result.quality,
        note=result.note,
        graph=graph_id,
        n_edges=len(graph.edges),
        method=method,
        n_neighbors=None if stored else spec.neighbors.n_neighbors,
        metric=None if stored else spec.neighbors.metric,
        algorithm=asked.algorithm,
        resolution=asked.resolution,
        n_iterations=asked.n_iterations if asked.algorithm == "leiden" else None,
        seed=asked.seed,
        use_weights=asked.use_weights,
        engine=result.engine,
        engine_version=result.engine_version,
        seconds=seconds,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        children=None if rows is None else child_digests(rows, result.labels, result.sizes),
        cells=cells,
        graph_built=built,
        engine_reason=choice.reason,
        asked_engine=engine_version(engine),
        fallback=result.fallback,
        gpu_check=check_on_cpu(graph, asked, result) if checked else None,
    )
    arrays: dict[str, npt.NDArray[Any]] = {"labels": result.labels}
    if result.joined:
        facts = facts.with_runs(result.joined)
        arrays["stability"] = result.joined.stability.cells
    record = cache.write_record("split", key, facts.to_json(), arrays)
    return NodeSplit(facts, record, computed=True)


@dataclass
class KeptRuns:
    """The runs of an ensemble in the cache: `run` finds or makes one; `seconds` were spent on those that it found."""

    plan: TreePlan
    pending: Pending
    cache: Cache
    refresh: bool
    made: int | None
    seconds: float = 0.0

    def run(self, number: int) -> Partition:
        """Return a run, counted from 0. Raises RunsWanted if someone else is to make it."""
        if self.made is not None and number >= self.made:
            raise RunsWanted
        anew = self.refresh and self.made is None
        found = split(self.plan, run_of(self.pending, number), self.cache, refresh=anew)
        facts = found.facts
        if not found.computed:
            self.seconds += facts.seconds
        labels = found.labels(self.cache)
        return Partition(
            labels, list(facts.sizes), facts.modularity, facts.quality, facts.note, facts.engine, facts.engine_version,
            facts.fallback,
        )  # fmt: skip


def rows_of(plan: TreePlan, pending: Pending, cache: Cache) -> npt.NDArray[np.float32]:
    """Read a node's own rows of its embedding, (n, d) float32, and check them against its digest.

    Raises
    ------
    DamagedEntry
        If they do not have the digest.
    """
    if pending.spec.neighbors.embedding.own is not None:
        assert pending.own is not None  # whoever asks has had it derived
        return np.ascontiguousarray(cache.view(pending.own.values, checked=True))
    ref = plan.embeddings[pending.spec.neighbors.embedding]
    whole = cache.view(ref)
    node = pending.node
    rows = np.ascontiguousarray(whole if len(node.rows) == ref.shape[0] else whole[node.rows])
    if node.digest is not None and digest_array(rows) != node.digest:
        raise DamagedEntry(f"the embedding {ref.digest} in {cache.store.url} has changed since the run began")
    return rows


def graph_of(plan: TreePlan, pending: Pending, cache: Cache, rows: npt.NDArray[np.float32]) -> Graph:
    """Read or build the graph of a node from its rows, (n, d) float32.

    Raises
    ------
    DamagedEntry
        If the graph of all cells is gone from the cache.
    """
    key = _graph_key_of(plan, pending, _cells_of(plan, pending, cache))
    return _found_or_built(plan, pending, cache, key, rows if pending.path else None, refresh=False)[0]


def child_digests(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], sizes: list[int]) -> tuple[str, ...]:
    """Return the digest of each child's rows, in the order of the clusters."""
    order = np.argsort(labels, kind="stable")
    return tuple(digest_array(rows[part]) for part in np.split(order, np.cumsum(sizes)[:-1]))


def root_node(plan: TreePlan) -> Node:
    """Return the root of a plan's tree; its digest is that of the whole embedding if that is split."""
    decision = plan.decide((), plan.n_cells)
    assert not isinstance(decision, str)
    if plan.root_graph_stored:  # its embedding is not needed, and may not be there
        return Tree(plan).root(None)
    return Tree(plan).root(plan.embeddings[decision.neighbors.embedding].digest)


def first_nodes(tree: Tree) -> list[Node]:
    """Return what a tree begins with: its root, or the clusters of the partition that it is given."""
    return [root_node(tree.plan)] if tree.given is None else list(tree.given.nodes)


def _cells_of(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """The digest of a node's cells; they are read only if it is not known."""
    if not pending.path and plan.root_graph_stored:
        return plan.root_graph
    if pending.own is not None:
        return pending.own.values.digest
    return pending.node.digest or digest_array(rows_of(plan, pending, cache))


def _graph_key_of(plan: TreePlan, pending: Pending, cells: str) -> str:
    if not pending.path:
        return plan.root_graph
    neighbors, n = pending.spec.neighbors, pending.n_cells
    lists, method = plan.lists_for(neighbors, n), plan.placement.knn_method(n)
    if lists is None:
        return graph_key(cells, n, neighbors.n_neighbors, neighbors.metric, method)
    rows = digest_array(pending.node.rows)
    return graph_key(cells, n, neighbors.n_neighbors, neighbors.metric, method, lists.key, rows)


def _key_of(plan: TreePlan, pending: Pending, graph: str, engine: Engine) -> str:
    return split_key(graph, pending.spec.partition, engine, plan.placement.max_cluster_factor)


def _graph_of(
    plan: TreePlan,
    pending: Pending,
    cache: Cache,
    key: str,
    rows: npt.NDArray[np.float32] | None,
    engine: Engine,
    refresh: bool,
) -> tuple[Graph, str, bool, Callable[[], Any] | None]:
    """Return the node's graph, how its neighbours were found, whether that was done here, and what
    returns the engine's form of it where that is kept."""
    alone = bool(pending.path) and pending.run is None and not keeps_runs(pending)
    if alone:  # level 1 comes first, at all resolutions
        prepared_graph.clear()
        return *_found_or_built(plan, pending, cache, key, rows, refresh), None
    built, spec = False, pending.spec.partition

    def make() -> HeldGraph:
        nonlocal built
        graph, method, built = _found_or_built(plan, pending, cache, key, rows, refresh and bool(pending.path))
        return HeldGraph(graph, method, engine, (spec.resolution,) if pending.path else plan.resolutions)

    held, prepared = prepared_graph.get((key, engine_version(engine)), make)
    return held.graph, held.method, built, prepared


def _found_or_built(
    plan: TreePlan, pending: Pending, cache: Cache, key: str, rows: npt.NDArray[np.float32] | None, refresh: bool
) -> tuple[Graph, str, bool]:
    kept = not pending.path or pending.n_cells >= KEPT_GRAPH
    there = read_graph(cache, key) if kept and not refresh else None
    if there is not None:
        return *there, False
    if rows is None:
        raise DamagedEntry(f"the graph {key} in {cache.store.url} is gone since the run began")
    neighbors = pending.spec.neighbors
    if (lists := plan.lists_for(neighbors, len(rows))) is not None:
        found = neighbors_from(lists, cache, pending.node.rows, rows, neighbors.n_neighbors)
    else:
        method = plan.placement.knn_method(len(rows))
        found = neighbors_by(method, rows, neighbors.n_neighbors, neighbors.metric)
    graph = connectivities(found)
    if kept:
        write_graph(cache, key, graph, found.method)
    return graph, found.method, True
