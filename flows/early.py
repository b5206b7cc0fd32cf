"""What is done before its turn: workers and the first graphs while Prefect is still starting, and slow imports.

An embedded server takes seconds to start, on one core. The task `neighbors` of the flow later finds
the graph in the cache, or waits for it here.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from cellstrata.configs.model import RunConfig
from cellstrata.flows.executors.executor import Executor
from cellstrata.flows.preparation import open_cache
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.plans import root_neighbors
from cellstrata.tasks.kernels.placement import placement_of
from cellstrata.tasks.trees.graphs import find_graph
from cellstrata.tasks.trees.root_graph import RootGraph, compute_neighbors, find_neighbors

AT_MOST = 2  # datasets; the others' graphs are computed when their turn comes
NO_GRAPH = "0" * 64  # no key: to look for it makes a worker import what it needs, and open its cache
WOKEN = 4  # workers; more are started when there is work for them

_started: dict[tuple[str, int, str, str | None], Future[RootGraph]] = {}


def wake_worker(config: RunConfig, executor: Executor) -> None:
    """Start the worker that computes the first graph, while this process opens the inputs; returns at once."""
    if config.runner == "processes":
        threads = ThreadPoolExecutor(1)
        threads.submit(executor.run, find_graph, open_cache(config), NO_GRAPH)
        threads.shutdown(wait=False)


def start_graphs(config: RunConfig, inputs: Mapping[str, Input], executor: Executor) -> None:
    """Start computing level 1's graph of the first inputs that have none; returns at once."""
    if config.refresh or config.runner == "threads":
        return
    cache, threads = open_cache(config), ThreadPoolExecutor(2 * AT_MOST)
    for source in list(inputs.values())[:AT_MOST]:
        settings = config.DATASETS[source.dataset].clustering
        spec = root_neighbors(settings, source.neighbors)
        place = placement_of(settings, config.gpu_for(source.dataset), executor.status)
        embedding = source.embeddings.get(spec.embedding)
        if source.stored_graph is not None or embedding is None:
            continue
        method = place.knn_method(source.n_cells)
        key = (embedding.digest, spec.n_neighbors, spec.metric, method)
        arguments: tuple[Any, ...] = (cache, embedding, spec.n_neighbors, spec.metric, executor.threads, method)
        if key not in _started and find_neighbors(*arguments) is None:
            _started[key] = threads.submit(executor.run, compute_neighbors, *arguments)
            threads.submit(_wake, executor, _started[key], cache)
    threads.shutdown(wait=False)


def _wake(executor: Executor, graph: Future[RootGraph], cache: Cache) -> None:
    """Start the workers that the first splits will need, when the graph no longer takes all CPUs."""
    key = graph.result().key
    with ThreadPoolExecutor(WOKEN) as threads:
        for _ in range(min(WOKEN, executor.at_once)):
            threads.submit(executor.run, find_graph, cache, key)


@cache
def load_for_publishing() -> threading.Thread:
    """Import, in a thread of its own, what takes longest to import for publishing; a run that publishes
    nothing does not need it."""
    thread = threading.Thread(target=importlib.import_module, args=("anndata",), daemon=True)
    thread.start()
    return thread


def find_started(
    cache: Cache, embedding: ArrayRef, n_neighbors: int, metric: str, threads: int, method: str | None = None
) -> RootGraph | None:
    """Return a graph that the cache has, waiting for it if it has been started here."""
    started = _started.pop((embedding.digest, n_neighbors, metric, method), None)
    if started is not None:
        started.exception()  # it is computed again, by the task, if this failed
    return find_neighbors(cache, embedding, n_neighbors, metric, threads, method)
