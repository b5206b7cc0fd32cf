"""What is done before its turn: workers and the first graphs while Prefect is still starting, and slow imports.

An embedded server takes seconds to start, on one core. The task `neighbors` of the flow later finds
the graph in the cache, or waits for it here.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from cellstrata.flows.executors.executor import Executor
from cellstrata.flows.run import Run
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.level_1 import GraphRequest, Level1
from cellstrata.tasks.trees.graphs import find_graph
from cellstrata.tasks.trees.root_graph import RootGraph
from cellstrata.tasks.workers.readiness import first_graph, get_ready

AT_MOST = 2  # datasets; the others' graphs are computed when their turn comes
NO_GRAPH = "0" * 64  # no key: to look for it makes a worker import what it needs, and open its cache
WOKEN = 4  # workers; more are started when there is work for them


def wake_worker(run: Run) -> None:
    """Start the worker that computes the first graph, while this process opens the inputs; returns at once."""
    if run.config.runner == "processes":
        threads = ThreadPoolExecutor(1)
        threads.submit(run.executor.run, find_graph, run.open_cache(), NO_GRAPH)
        threads.shutdown(wait=False)


def start_graphs(run: Run) -> None:
    """Start computing level 1's graph of the first inputs that have none; returns at once."""
    config, executor = run.config, run.executor
    if config.refresh or config.runner == "threads":
        return
    cache, threads = run.open_cache(), ThreadPoolExecutor(2 * AT_MOST)
    for source in list(run.inputs.values())[:AT_MOST]:
        level_1 = Level1.of(config, source, run.gpu)
        request = None if source.stored_graph is not None else level_1.graph(level_1.embeddings)
        if request is not None and request.key not in run.graphs and request.find(cache) is None:
            arguments: tuple[Any, ...] = request.arguments(cache, executor.threads)
            name = f"{source.name} · neighbors · {source.n_cells:,} cells"
            engine = level_1.placement.choose(0).engine  # the CPU's: a GPU's owner loads its own
            run.graphs[request.key] = threads.submit(run.compute, name, "pool", first_graph, engine, *arguments)
            threads.submit(_wake, executor, engine, run.graphs[request.key], cache)
    threads.shutdown(wait=False)


def _wake(executor: Executor, engine: str, graph: Future[RootGraph], cache: Cache) -> None:
    """Start the workers that the first splits will need, when the graph no longer takes all CPUs."""
    key = graph.result().key
    with ThreadPoolExecutor(WOKEN) as threads:
        for _ in range(min(WOKEN, executor.at_once)):
            threads.submit(executor.run, get_ready, cache, engine, key)


@cache
def load_for_publishing() -> threading.Thread:
    """Import, in a thread of its own, what takes longest to import for publishing; a run that publishes
    nothing does not need it."""
    thread = threading.Thread(target=_import_anndata, daemon=True)
    thread.start()
    return thread


def _import_anndata() -> None:
    with IMPORTING:
        import anndata  # noqa: F401


def find_started(run: Run, request: GraphRequest, cache: Cache) -> RootGraph | None:
    """Return a graph that the cache has, waiting for it if the run has started it."""
    started = run.graphs.pop(request.key, None)
    if started is not None:
        started.exception()  # it is computed again, by the task, if this failed
    return request.find(cache)
