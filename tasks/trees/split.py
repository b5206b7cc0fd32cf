"""One function computes a split: rows of an embedding, their kNN graph, a partition, a record.

Level 1, level 7, the flow, a worker and a library call all go through `split`. Looking a node up
needs its digest alone; its rows are read only when it has to be computed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import Cache, DamagedEntry, Record
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import Engine, PartitionSpec, engine_version
from cellstrata.tasks.kernels.gpu_check import agreement, in_sample
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.partition import Guard, partition
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.trees.graphs import read_graph, write_graph
from cellstrata.tasks.trees.keys import graph_key, split_key
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.tree import Node, Pending, Tree

KEPT_GRAPH = 1_000  # cells: a smaller graph is built as fast as it is found, and is not kept


@dataclass
class _Held:
    """The last level-1 graph, how it was found, and the engine's form of it, for its next resolution."""

    graph: Graph
    method: str
    engine: Engine
    resolutions: tuple[float, ...]
    form: Any = None

    def prepared(self) -> Any:
        """Return the engine's form, made when first asked for."""
        with _preparing:
            if self.form is None:
                self.form = self.engine.prepare(self.graph, self.resolutions)
            return self.form


_prepared: dict[tuple[str, str], _Held] = {}
_preparing = threading.RLock()


def key_of(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """Return the key of a node's split; its rows are read only if their digest is not known."""
    cells = _cells_of(plan, pending, cache)
    return _key_of(plan, pending, _graph_key_of(plan, pending, cells), plan.placement.engine_for(pending.n_cells))


def split(plan: TreePlan, pending: Pending, cache: Cache, *, refresh: bool = False) -> tuple[Record, bool]:
    """Find or compute the split of one node; the second value tells whether it was computed.

    The record's facts: `sizes`, `modularity`, `quality`, `note`, `cells` (the digest of the node's rows
    in its embedding, or the key of the graph that came with the input), `children` (digests of the
    children's rows in the same embedding), parameters, `engine` and `engine_version` that made the labels,
    `engine_reason`, `fallback` (why the CPU did, where a GPU was asked), `gpu_check` (how far the CPU
    agrees, of those in the sample), `seconds` and whether the graph was `graph_built` in them; its array
    `labels` is (n,) int32 in the order of the node's rows.
    """
    placement, spec = plan.placement, pending.spec
    choice, engine = placement.choose(pending.n_cells), placement.engine_for(pending.n_cells)
    cells = _cells_of(plan, pending, cache)
    graph_id = _graph_key_of(plan, pending, cells)
    key = _key_of(plan, pending, graph_id, engine)
    if not refresh and (found := cache.find(key, "split")):
        return found, False
    started = time.perf_counter()
    stored = not pending.path and plan.root_graph_stored
    rows = None if stored else rows_of(plan, pending, cache)
    graph, method, built, prepared = _graph_of(plan, pending, cache, graph_id, rows, engine, refresh)
    guard = Guard(placement.max_cluster_factor, placement.wish == "required")
    result = partition(graph, spec.partition, engine, prepared, guard)
    if result.fallback:
        _prepared.clear()  # the CPU may need what it holds of the device
    seconds = round(time.perf_counter() - started, 4)
    made_on_gpu = choice.on_gpu and result.engine == engine.name and result.note is None
    checked = made_on_gpu and in_sample(key, placement.gpu_check)
    body: dict[str, Any] = {
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
        "engine": result.engine,
        "engine_version": result.engine_version,
        "engine_reason": choice.reason,
        "asked_engine": engine_version(engine),
        "fallback": result.fallback,
        "gpu_check": agreement(graph, spec.partition, result) if checked else None,
        **_facts(spec.partition),
        "n_neighbors": None if stored else spec.neighbors.n_neighbors,
        "metric": None if stored else spec.neighbors.metric,
        "seconds": seconds,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return cache.write_record("split", key, body, {"labels": result.labels}), True


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


def _cells_of(plan: TreePlan, pending: Pending, cache: Cache) -> str:
    """The digest of a node's cells; they are read only if it is not known."""
    if not pending.path and plan.root_graph_stored:
        return plan.root_graph
    return pending.node.digest or digest_array(rows_of(plan, pending, cache))


def _graph_key_of(plan: TreePlan, pending: Pending, cells: str) -> str:
    if not pending.path:
        return plan.root_graph
    neighbors, n = pending.spec.neighbors, pending.n_cells
    return graph_key(cells, n, neighbors.n_neighbors, neighbors.metric, plan.placement.knn_method(n))


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
    if pending.path:
        with _preparing:
            _prepared.clear()  # level 1 comes first, at all resolutions
        return *_found_or_built(plan, pending, cache, key, rows, refresh), None
    name = (key, engine_version(engine))
    with _preparing:  # resolutions that start together wait for one graph
        built = False
        if name not in _prepared:
            graph, method, built = _found_or_built(plan, pending, cache, key, rows, False)
            _prepared.clear()
            _prepared[name] = _Held(graph, method, engine, plan.resolutions)
        held = _prepared[name]
    return held.graph, held.method, built, held.prepared


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
    method = plan.placement.knn_method(len(rows))
    found = neighbors_by(method, rows, neighbors.n_neighbors, neighbors.metric)
    graph = connectivities(found)
    if kept:
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
