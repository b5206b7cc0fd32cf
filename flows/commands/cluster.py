"""`cellstrata cluster`: one algorithm, one resolution, one level, without a Prefect server.

The same splits as in a run, found in the same cache.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.loading.single_level import NAME, LevelCall, level_call
from cellstrata.configs.model import RunConfig
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.flows.executors.executor import Executor, Settings
from cellstrata.flows.executors.registry import open_executor
from cellstrata.flows.monitor.progress import Counts
from cellstrata.flows.preparation import UnusableInputs, ready, unavailable
from cellstrata.flows.run import Run, open_cache
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.cache.leases import using
from cellstrata.tasks.inputs.inspection import Input, inspect_level
from cellstrata.tasks.inputs.level_1 import Embeddings, Level1, pca_of
from cellstrata.tasks.inputs.plans import tree_plans
from cellstrata.tasks.results.level import Asked, NothingToDo, close, look, open_level, uncached
from cellstrata.tasks.results.level_result import PublishedLevel, publish_kept, publish_level
from cellstrata.tasks.results.result import Finished
from cellstrata.tasks.results.uses import note_use
from cellstrata.tasks.stores.data_errors import DataError
from cellstrata.tasks.trees.jobs import Job, JobReport, run_job
from cellstrata.tasks.trees.plan import EmbeddingChoice, TreePlan
from cellstrata.tasks.trees.root_graph import compute_lists, compute_neighbors
from cellstrata.tasks.trees.split import find_split, node_key
from cellstrata.tasks.trees.tree import Pending, Tree

WORTH_PROCESSES = 20_000  # cells to be split: below, starting processes takes longer than splitting


def cluster(options: argparse.Namespace) -> int:
    """Run one level as the options say; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    place = without_credentials(options.output_file)
    with Attempt(
        terminal,
        interrupted="interrupted; every finished split is kept: run again to resume",
        wrong=(ConfigError, DataError, UnusableInputs),
        failed=lambda error: f"{unexpected(error)}\nno result was written to {place}; run again to resume",
    ) as attempt:
        call = level_call(vars(options))
        for notice in call.notices:
            terminal.notice(notice)
        try:
            _cluster(call, terminal)
        except NothingToDo as error:
            terminal.notice(str(error))
    return attempt.code


def _cluster(call: LevelCall, terminal: Terminal) -> None:
    started = time.perf_counter()
    call = call.with_config(ready(call.config))
    if problems := unavailable(Run(call.config), "OUTPUT"):
        raise UnusableInputs(problems)
    asked = look(call)
    if asked.kept:
        publish_kept(asked.source, asked.output, asked.column)
        raise NothingToDo(f"{asked.kept}; --overwrite computes it anew")
    config = call.at(asked.resolution)
    settings, cache = config.DATASETS[NAME].clustering, open_cache(config)
    with using(cache):
        source, problems = inspect_level(asked.source, asked.output.url, settings, cache, rehash=config.rehash)
        if source is None or problems:
            raise UnusableInputs(problems)
        for notice in [*asked.notices, *source.notices]:
            terminal.notice(notice)
        published, splits = _level(call, asked, source, config, cache)
    terminal.level(published, splits, time.perf_counter() - started)


def _level(
    call: LevelCall, asked: Asked, source: Input, config: RunConfig, cache: Cache
) -> tuple[PublishedLevel, Counts]:
    """Split and publish; returns what came of it, and the splits."""
    settings = config.DATASETS[NAME].clustering
    level_1 = Level1.of(config, source)
    embeddings = _embeddings(level_1, cache, config.refresh)
    graph = source.stored_graph or ("" if call.level > 1 else _graph(level_1, cache, embeddings, config))
    (plan,) = tree_plans(settings, source, embeddings, graph, config.gpu_for(NAME))
    tree, pending = open_level(plan, asked)
    _lists(plan, pending, cache, config)
    executed = _split(tree, pending, cache, config.worker_count, config.refresh)
    for node in pending:
        close(tree, node, cache, executed)

    finished = Finished.of(source, [tree], graph, None, embeddings, config)
    published = publish_level(finished, cache)
    note_use(cache, source.output.rsplit("/", 1)[-1], finished)
    return published, Counts(len(executed), len(pending) - len(executed))


def _embeddings(level_1: Level1, cache: Cache, refresh: bool) -> dict[EmbeddingChoice, ArrayRef]:
    return level_1.embeddings | {request.choice: pca_of(request, cache, refresh) for request in level_1.pcas}


def _graph(level_1: Level1, cache: Cache, embeddings: Embeddings, config: RunConfig) -> str:
    """The key of level 1's graph, computed if the input has none."""
    request = level_1.graph(embeddings)
    assert request is not None  # all embeddings are there
    found = None if config.refresh else request.find(cache)
    return (found or compute_neighbors(*request.arguments(cache, config.worker_count, config.refresh))).key


def _lists(plan: TreePlan, pending: list[Pending], cache: Cache, config: RunConfig) -> None:
    """Make sure of the lists of all cells' neighbours that clusters to be split take theirs from."""
    served = [(plan.lists_for(node.spec.neighbors, node.n_cells), node) for node in pending if node.path]
    missing = [
        lists
        for lists, node in served
        if lists is not None and (config.refresh or find_split(cache, node_key(plan, node, cache)) is None)
    ]
    for lists in dict.fromkeys(missing):
        compute_lists(cache, lists, config.worker_count, config.refresh)


def _split(tree: Tree, pending: list[Pending], cache: Cache, threads: int, refresh: bool) -> set[str]:
    """Split all clusters, in processes if that is worth it; returns the keys of those really computed."""
    jobs = [
        Job(key=node_key(tree.plan, node, cache), plan=tree.plan, nodes=(node,), cache=cache, refresh=refresh)
        for node in pending
    ]
    work = sum(job.n_cells for job in jobs if refresh or uncached(job, cache))
    apart = threads > 1 and len(jobs) > 1 and work >= WORTH_PROCESSES
    with (
        ThreadPoolExecutor(threads if apart else 1) as pool,
        open_executor(Settings("processes" if apart else "threads", cpus=threads)) as executor,
    ):
        reports = list(pool.map(lambda job: _run(executor, tree, job), jobs))
    return {key for report in reports for key in report.executed}


def _run(executor: Executor, tree: Tree, job: Job) -> JobReport:
    try:
        return executor.run(run_job, job)
    except Exception as error:
        error.add_note(f"when splitting cluster {tree.label(job.nodes[0].path)}, {job.n_cells:,} cells")
        raise
