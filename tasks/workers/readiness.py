"""What a worker loads before it is asked for, while others compute: the engine of the first splits."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.trees.graphs import find_graph
from cellstrata.tasks.trees.root_graph import RootGraph, compute_neighbors


def load(engine: str) -> None:
    """Load an engine of the CPU and what it computes with, compiled code included."""
    pair = Graph(2, np.array([[0, 1]], np.int32), np.ones(1, np.float32))
    partition(pair, PartitionSpec("leiden", 1.0), load_engine(engine))


def get_ready(cache: Cache, engine: str, key: str) -> Record | None:
    """Load an engine, and return the record of a graph, None where the cache has none."""
    load(engine)
    return find_graph(cache, key)


def first_graph(engine: str, *arguments: Any) -> RootGraph:
    """Do what `compute_neighbors` does with these arguments; the engine of the splits is loaded beside it."""
    loading = threading.Thread(target=load, args=(engine,), daemon=True)
    loading.start()
    try:
        return compute_neighbors(*arguments)
    finally:
        loading.join()
