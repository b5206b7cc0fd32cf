"""Level 1's graph, where it is to be computed: neighbours and connectivities, kept for publishing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.knn import Neighbors
from cellstrata.tasks.kernels.knn_cuvs import neighbors_by
from cellstrata.tasks.trees.graphs import find_graph, read_graph, write_graph
from cellstrata.tasks.trees.keys import graph_key, knn_key

T = TypeVar("T")


@dataclass(frozen=True)
class RootGraph:
    """Level 1's graph in the cache: its key, and the seconds that it took here, 0 where it was found."""

    key: str
    seconds: float


def find_neighbors(
    cache: Cache, embedding: ArrayRef, n_neighbors: int, metric: str, threads: int = 1, method: str | None = None
) -> RootGraph | None:
    """Return what `compute_neighbors` would, if the cache has it."""
    key = graph_key(embedding.digest, embedding.shape[0], n_neighbors, metric, method)
    there = find_graph(cache, key) is not None and cache.find(knn_key(key), "knn") is not None
    return RootGraph(key, 0.0) if there else None


def compute_neighbors(
    cache: Cache, embedding: ArrayRef, n_neighbors: int, metric: str, threads: int, method: str | None = None
) -> RootGraph:
    """Compute the graph of a whole embedding and keep both its neighbours and its connectivities.

    `method` is a GPU's search, None for that of the CPU.
    """
    started = time.perf_counter()
    key = graph_key(embedding.digest, embedding.shape[0], n_neighbors, metric, method)
    found = neighbors_by(method, cache.get(embedding), n_neighbors, metric, threads)
    graph = connectivities(found, threads)
    body = {
        "method": found.method,
        "n_cells": embedding.shape[0],
        "threads": threads,
        "seconds": round(time.perf_counter() - started, 4),
    }
    cache.write_record("knn", knn_key(key), body, {"indices": found.indices, "distances": found.distances})
    write_graph(cache, key, graph, found.method)
    return RootGraph(key, round(time.perf_counter() - started, 4))


def connectivities_matrix(cache: Cache, graph: str) -> sp.csr_matrix:
    """Read a graph's connectivities, (n, n) float32 CSR, symmetric."""
    return _required(read_graph(cache, graph), graph)[0].to_csr()


def distances_matrix(cache: Cache, graph: str) -> sp.csr_matrix:
    """Read the distances of a computed graph, (n, n) float32 CSR: k - 1 a row, the cell itself left
    out, as scanpy stores them."""
    record = _required(cache.find(knn_key(graph), "knn"), graph)
    found = Neighbors(cache.array(record, "indices"), cache.array(record, "distances"), "")
    n, k = found.indices.shape
    indptr = np.arange(0, n * (k - 1) + 1, k - 1) if k > 1 else np.zeros(n + 1, int)
    data, indices = found.distances[:, 1:].ravel(), found.indices[:, 1:].ravel()
    matrix = sp.csr_matrix((data, indices, indptr), shape=(n, n))
    matrix.sort_indices()
    return matrix


def _required(found: T | None, key: str) -> T:
    if found is None:
        raise KeyError(f"the graph {key} is gone from the cache since the run began; run again")
    return found
