"""Level 1's graph, where it is to be computed: neighbours and connectivities, kept for publishing."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.knn import Neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.kernels.neighbor_lists import LISTED
from cellstrata.tasks.trees.graphs import find_graph, read_graph, write_graph
from cellstrata.tasks.trees.keys import graph_key, knn_key
from cellstrata.tasks.trees.neighbor_lists import NeighborLists, find_lists, lists_of, method_of

T = TypeVar("T")


@dataclass(frozen=True)
class RootGraph:
    """Level 1's graph in the cache: its key, and the seconds that it took here, 0 where it was found."""

    key: str
    seconds: float


def root_graph_key(embedding: ArrayRef, n_neighbors: int, metric: str, method: str | None = None) -> str:
    """Return the key of the graph of a whole embedding; `method` is a GPU's search, None for that of the CPU."""
    lists = lists_of(embedding, n_neighbors, metric, method)
    return graph_key(embedding.digest, embedding.shape[0], n_neighbors, metric, method, lists.key if lists else None)


def find_neighbors(
    cache: Cache, embedding: ArrayRef, n_neighbors: int, metric: str, method: str | None = None
) -> RootGraph | None:
    """Return what `compute_neighbors` would, if the cache has it."""
    key = root_graph_key(embedding, n_neighbors, metric, method)
    if find_graph(cache, key) is None:
        return None
    lists = lists_of(embedding, n_neighbors, metric, method)
    there = cache.find(knn_key(key), "knn") if lists is None else find_lists(cache, lists)
    return RootGraph(key, 0.0) if there is not None else None


def compute_neighbors(
    cache: Cache,
    embedding: ArrayRef,
    n_neighbors: int,
    metric: str,
    threads: int,
    refresh: bool = False,
    method: str | None = None,
) -> RootGraph:
    """Compute the graph of a whole embedding and keep both its neighbours and its connectivities.

    `method` is a GPU's search, None for that of the CPU; the owner of a GPU looks at it, and expects it last. Lists of
    neighbours that the cache has are taken, unless `refresh`.
    """
    started = time.perf_counter()
    key = root_graph_key(embedding, n_neighbors, metric, method)
    if (lists := lists_of(embedding, n_neighbors, metric, method)) is not None:
        # The lists are not held while a graph is made of their first neighbours: they are the larger part.
        found = replace(_lists(cache, lists, threads, refresh).nearest(n_neighbors), method=method_of(lists))
    else:
        found = neighbors_by(method, cache.get(embedding), n_neighbors, metric, threads)
        _keep(cache, knn_key(key), found, threads, started)
    graph = connectivities(found, threads)
    write_graph(cache, key, graph, found.method, lists=lists.key if lists else None)
    return RootGraph(key, round(time.perf_counter() - started, 4))


def compute_lists(cache: Cache, lists: NeighborLists, threads: int, refresh: bool = False) -> None:
    """Make sure that the cache has the lists of an embedding, where no graph of all cells is made of them."""
    _lists(cache, lists, threads, refresh)


def connectivities_matrix(cache: Cache, graph: str) -> sp.csr_matrix:
    """Read a graph's connectivities, (n, n) float32 CSR, symmetric."""
    return _required(read_graph(cache, graph), graph)[0].to_csr()


def distances_matrix(cache: Cache, graph: str, n_neighbors: int) -> sp.csr_matrix:
    """Read the distances of a computed graph, (n, n) float32 CSR: n_neighbors - 1 a row at most, the cell itself left
    out, as scanpy stores them."""
    record = _required(cache.find(neighbors_key(cache, graph), "knn"), graph)
    indices, distances = (cache.array(record, name)[:, 1:n_neighbors] for name in ("indices", "distances"))
    n, k = indices.shape
    indptr = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, int)
    matrix = sp.csr_matrix((distances.ravel(), indices.ravel(), indptr), shape=(n, n))
    matrix.sort_indices()
    return matrix


def neighbors_key(cache: Cache, graph: str) -> str:
    """Return the key of the neighbours from which level 1's graph was made: its own, or lists that others share."""
    record = cache.read_record(graph)
    return str(record.body.get("lists") or knn_key(graph)) if record is not None else knn_key(graph)


def _lists(cache: Cache, lists: NeighborLists, threads: int, refresh: bool) -> Neighbors:
    if not refresh and (record := find_lists(cache, lists)) is not None:
        return Neighbors(cache.array(record, "indices"), cache.array(record, "distances"), str(record.body["method"]))
    started = time.perf_counter()
    found = neighbors_by(None, cache.get(lists.embedding), LISTED, lists.metric, threads)
    _keep(cache, lists.key, found, threads, started)
    return found


def _keep(cache: Cache, key: str, found: Neighbors, threads: int, started: float) -> None:
    body = {
        "method": found.method,
        "n_cells": len(found.indices),
        "threads": threads,
        "seconds": round(time.perf_counter() - started, 4),
    }
    cache.write_record("knn", key, body, {"indices": found.indices, "distances": found.distances})


def _required(found: T | None, key: str) -> T:
    if found is None:
        raise KeyError(f"the graph {key} is gone from the cache since the run began; run again")
    return found
