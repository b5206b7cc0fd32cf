"""One function computes a split: rows of an embedding, their kNN graph, a partition, a record.

Level 1, level 7, the flow, a worker and a library call all go through `split`. Looking a node up
needs its digest alone; its rows are read only when it has to be computed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.cache import Cache, DamagedEntry, Record
from tasks.connectivities import connectivities
from tasks.digest import digest_array, digest_values
from tasks.engines import Engine, PartitionSpec, engine_version, load_engine
from tasks.graph import Graph
from tasks.keys import graph_key, split_key
from tasks.knn import nearest_neighbors
from tasks.partition import partition
from tasks.plan import TreePlan
from tasks.tree import Node, Pending, Tree

# The last level-1 graph, how it was found and the engine's form of it, for its next resolution.
_prepared: dict[tuple[str, str], tuple[Graph, str, Any]] = {}
_preparing = threading.Lock()


@dataclass(frozen=True)
class Job:
    """One piece of work: these nodes, and all that is below them if `recurse`.

    Picklable and small: a plan, row numbers, and the address of the cache.
    """

    key: str
    plan: TreePlan
    nodes: tuple[Pending, ...]
    cache: Cache
    recurse: bool = False
    refresh: bool = False

    @property
    def n_cells(self) -> int:
        """The cells of the topmost nodes."""
        return sum(pending.n_cells for pending in self.nodes)


def run_job(job: Job) -> dict[str, Any]:
    """Split the nodes of a job, finding in the cache what is there.

    Returns plain JSON values: `key`, `executed` (the keys of splits really computed), `splits` (how
    many in all), `seconds`.

    Raises
    ------
    DamagedEntry
        If an embedding in the cache is not what it was when the run began.
    """
    started = time.perf_counter()
    executed: list[str] = []
    keys: list[str] = []
    tree = Tree(job.plan)
    waiting = list(job.nodes)
    while waiting:
        pending = waiting.pop()
        record, computed = split(job.plan, pending, job.cache, refresh=job.refresh)
        keys.append(record.key)
        if computed:
            executed.append(record.key)
        if job.recurse:
            labels = job.cache.get(record.array("labels"))
            children = tree.close(pending, record.key, record.body, labels, computed)
            waiting.extend(opened for child in children if (opened := tree.open(child)))
    seconds = round(time.perf_counter() - started, 4)
    if job.recurse:
        job.cache.write_record("bundle", job.key, {"splits": keys, "n_cells": job.n_cells, "seconds": seconds})
    return {"key": job.key, "executed": executed, "splits": len(keys), "seconds": seconds}


def key_of(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """Return the key of a node's split; its rows are read only if their digest is not known."""
    cells = _cells_of(plan, pending, cache)
    return split_key(_graph_key_of(plan, pending, cells), pending.spec.partition, load_engine(plan.engine))


def bundle_key(plan: TreePlan, nodes: tuple[Pending, ...], cache: Cache) -> str:
    """Return the key of small clusters that are split together with all that is below them."""
    asked = plan.hierarchy
    below = [
        asked.depth,
        asked.deepest_blanket,
        sorted([level, p.model_dump()] for level, p in asked.levels.items()),
        sorted([list(path), p and p.model_dump()] for path, p in asked.clusters.items()),
    ]
    parts = [[list(node.path), key_of(plan, node, cache)] for node in nodes]
    base = [plan.partition.resolution, plan.partition.n_iterations, plan.partition.seed, plan.min_cells]
    neighbors = [plan.neighbors.n_neighbors, plan.neighbors.metric, str(plan.neighbors.embedding)]
    own = {node.spec.neighbors.embedding for node in nodes}  # their rows are part of the nodes' keys
    others = sorted([str(choice), ref.digest] for choice, ref in plan.embeddings.items() if {choice} != own)
    return digest_values(kind="bundle", parts=parts, hierarchy=below, base=base, neighbors=neighbors, embeddings=others)


def split(plan: TreePlan, pending: Pending, cache: Cache, *, refresh: bool = False) -> tuple[Record, bool]:
    """Find or compute the split of one node; the second value tells whether it was computed.

    The record's facts: `sizes`, `modularity`, `quality`, `note`, `cells` (the digest of the node's rows
    in its embedding, or the key of the graph that came with the input), `children` (digests of the
    children's rows in the same embedding), parameters, engine, `seconds` and whether the graph was
    `graph_built` in them; its array `labels` is (n,) int32 in the order of the node's rows.
    """
    engine = load_engine(plan.engine)
    cells = _cells_of(plan, pending, cache)
    graph_id = _graph_key_of(plan, pending, cells)
    key = split_key(graph_id, pending.spec.partition, engine)
    if not refresh and (found := cache.find(key, "split")):
        return found, False
    started = time.perf_counter()
    stored = not pending.path and plan.root_graph_stored
    rows = None if stored else rows_of(plan, pending, cache)
    graph, method, built, prepared = _graph_of(plan, pending, cache, graph_id, rows, engine, refresh)
    result = partition(graph, pending.spec.partition, engine, prepared)
    spec = pending.spec
    body: dict[str, Any] = {
        "arrays": {"labels": cache.put(result.labels).to_json()},
        "n_cells": pending.n_cells,
        "sizes": result.sizes,
        "cells": cells,
        "children": None if rows is None else child_digests(rows, result.labels, result.sizes),
        "modularity": result.modularity,
        "quality": result.quality,
        "note": result.note,
        "graph": graph_id,
        "graph_built": built,
        "n_edges": len(graph.edges),
        "method": method,
        "engine": engine.name,
        "engine_version": engine_version(engine),
        **_facts(spec.partition),
        "n_neighbors": None if stored else spec.neighbors.n_neighbors,
        "metric": None if stored else spec.neighbors.metric,
        "seconds": round(time.perf_counter() - started, 4),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return cache.write_record("split", key, body), True


def rows_of(plan: TreePlan, pending: Pending, cache: Cache) -> npt.NDArray[np.float32]:
    """Read a node's own rows of its embedding, (n, d) float32, and check them against its digest.

    Raises
    ------
    DamagedEntry
        If they do not have the digest.
    """
    ref = plan.embeddings[pending.spec.neighbors.embedding]
    whole = cache.view(ref)
    node = pending.node
    rows = np.ascontiguousarray(whole if len(node.rows) == ref.shape[0] else whole[node.rows])
    if node.digest is not None and digest_array(rows) != node.digest:
        raise DamagedEntry(f"the embedding {ref.digest} in {cache.store.url} has changed since the run began")
    return rows


def child_digests(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], sizes: list[int]) -> list[str]:
    """Return the digest of each child's rows, in the order of the clusters."""
    order = np.argsort(labels, kind="stable")
    return [digest_array(rows[part]) for part in np.split(order, np.cumsum(sizes)[:-1])]


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


def find_graph(cache: Cache, key: str) -> Record | None:
    """Return the record of a graph in the cache."""
    return cache.find(key, "graph")


def read_graph(cache: Cache, record: Record) -> Graph:
    """Read a graph's arrays."""
    edges, weights = cache.get(record.array("edges")), cache.get(record.array("weights"))
    return Graph(int(record.body["n_cells"]), edges, weights)


def write_graph(cache: Cache, key: str, graph: Graph, method: str) -> Record:
    """Store a graph under its key."""
    arrays = {"edges": cache.put(graph.edges).to_json(), "weights": cache.put(graph.weights).to_json()}
    return cache.write_record("graph", key, {"arrays": arrays, "n_cells": graph.n_vertices, "method": method})


def _cells_of(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """The digest of a node's cells; they are read only if it is not known."""
    if not pending.path and plan.root_graph_stored:
        return plan.root_graph
    return pending.node.digest or digest_array(rows_of(plan, pending, cache))


def _graph_key_of(plan: TreePlan, pending: Pending, cells: str) -> str:
    if not pending.path:
        return plan.root_graph
    neighbors = pending.spec.neighbors
    return graph_key(cells, pending.n_cells, neighbors.n_neighbors, neighbors.metric)


def _graph_of(
    plan: TreePlan,
    pending: Pending,
    cache: Cache,
    key: str,
    rows: npt.NDArray[np.float32] | None,
    engine: Engine,
    refresh: bool,
) -> tuple[Graph, str, bool, Any]:
    """Return the node's graph, how its neighbours were found, whether that was done here, and the
    engine's form of it if at hand."""
    if pending.path:
        return *_found_or_built(pending, cache, key, rows, refresh), None
    with _preparing:  # resolutions that start together wait for one graph
        if held := _prepared.get((key, engine.name)):
            graph, method, prepared = held
            return graph, method, False, prepared
        graph, method, built = _found_or_built(pending, cache, key, rows, False)
        prepared = engine.prepare(graph) if len(graph.edges) else None
        if prepared is not None:
            _prepared.clear()
            _prepared[key, engine.name] = graph, method, prepared
        return graph, method, built, prepared


def _found_or_built(
    pending: Pending, cache: Cache, key: str, rows: npt.NDArray[np.float32] | None, refresh: bool
) -> tuple[Graph, str, bool]:
    record = None if refresh else find_graph(cache, key)
    if record is not None:
        return read_graph(cache, record), str(record.body["method"]), False
    if rows is None:
        raise DamagedEntry(f"the graph {key} in {cache.store.url} is gone since the run began")
    neighbors = pending.spec.neighbors
    found = nearest_neighbors(rows, neighbors.n_neighbors, neighbors.metric)  # type: ignore[arg-type]
    graph = connectivities(found)
    write_graph(cache, key, graph, found.method)
    return graph, found.method, True


def _facts(spec: PartitionSpec) -> dict[str, Any]:
    return {
        "algorithm": spec.algorithm,
        "resolution": spec.resolution,
        "n_iterations": spec.n_iterations if spec.algorithm == "leiden" else None,
        "seed": spec.seed,
        "use_weights": spec.use_weights,
    }
