"""Graphs in the cache: found, read and written under their key."""

from __future__ import annotations

import logging

import numpy as np

from cellstrata.tasks.cache.cache import Cache, DamagedEntry, Record
from cellstrata.tasks.kernels.graph import Graph

log = logging.getLogger("cellstrata.cache")


def find_graph(cache: Cache, key: str) -> Record | None:
    """Return the record of a graph in the cache."""
    return cache.find(key, "graph")


def read_graph(cache: Cache, key: str) -> tuple[Graph, str] | None:
    """Read a graph and how its neighbours were found; None where the cache has none that is intact."""
    record = cache.read_record(key)
    if record is None or record.kind != "graph":
        return None
    try:
        # From a local disk memory-mapped: processes that partition one graph side by side share it.
        read = cache.mapped if cache.store.is_local else cache.array
        edges, weights = (np.asarray(read(record, name)) for name in ("edges", "weights"))
    except DamagedEntry as error:
        log.warning("the graph %s is computed again: %s", key, error)
        return None
    return Graph(int(record.body["n_cells"]), edges, weights), str(record.body["method"])


def write_graph(cache: Cache, key: str, graph: Graph, method: str, *, lists: str | None = None) -> Record:
    """Store a graph under its key; `lists` is that of the neighbour lists of all cells from which it was made."""
    body: dict[str, object] = {"n_cells": graph.n_vertices, "method": method}
    if lists is not None:
        body["lists"] = lists
    return cache.write_record("graph", key, body, {"edges": graph.edges, "weights": graph.weights})
