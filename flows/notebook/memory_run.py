"""A run on an AnnData in memory: inspected, grown, finished; in a thread with an event loop of its own.

The caller's thread may have a running loop, as Jupyter's has, or be a task of Prefect's: neither is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cellstrata.configs.errors import at_most
from cellstrata.configs.model import RunConfig
from cellstrata.flows.executors.executor import WORKER_ENVIRONMENT, Settings
from cellstrata.flows.executors.registry import open_executor
from cellstrata.flows.growth import Growth
from cellstrata.flows.monitor.progress import Progress
from cellstrata.flows.notebook.arguments import DATASET
from cellstrata.flows.notebook.plain_steps import PlainSteps
from cellstrata.flows.notebook.progress_bar import ProgressBar
from cellstrata.flows.run import open_cache
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.branches.checks import child_markers_problem, embedding_notices, expression_problems
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.leases import using
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.inputs.adata_parts import opened_adata
from cellstrata.tasks.inputs.inspection import Input, inspect_memory
from cellstrata.tasks.inputs.level_1 import Level1
from cellstrata.tasks.kernels.engines import EngineUnavailable
from cellstrata.tasks.matching.earlier import SharedCells
from cellstrata.tasks.matching.place import find_earlier
from cellstrata.tasks.results.dataset_markers import markers_problem
from cellstrata.tasks.results.result import Finished
from cellstrata.tasks.results.uses import note_use
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.write_access import unusable
from cellstrata.tasks.trees.placement import placement_of

if TYPE_CHECKING:
    import anndata as ad

T = TypeVar("T")
log = logging.getLogger("cellstrata")


class UnusableAnnData(ValueError):
    """An AnnData cannot be clustered as it is asked; the message says all that is wrong, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        return "\n".join(at_most(self.problems))


@dataclass
class MemoryGrowth(Growth):
    """An AnnData in memory on its way to finished trees."""

    bar: ProgressBar

    def follow(self, progress: Progress) -> None:
        """Show how far the trees have grown."""
        self.bar.follow(progress)


def finished_trees(adata: ad.AnnData, config: RunConfig, *, progress: bool) -> tuple[Finished, Cache]:
    """Grow all trees that a configuration asks for over an AnnData, which is not changed.

    Returns what they came to, and the cache that holds it.

    Raises
    ------
    UnusableAnnData
        Before any work, with everything that is wrong with the AnnData, the cache or the engine.
    SplitFailed
        If a cluster could not be split.
    """
    finished, cache = _through(adata, config, _grown, progress=progress)
    note_use(cache, finished.source.name, finished)
    for notice in finished.notices():
        log.warning("%s: %s", NAME, notice)
    return finished, cache


def swept_resolutions(adata: ad.AnnData, config: RunConfig, *, progress: bool) -> tuple[Advice, ...]:
    """Sweep over the resolutions of level 1 of an AnnData, and return what is advised, by algorithm.

    Raises as `finished_trees`.
    """
    return _through(adata, config, _swept, progress=progress)[0]


def _through(
    adata: ad.AnnData, config: RunConfig, work: Callable[[MemoryGrowth], Coroutine[Any, Any, T]], *, progress: bool
) -> tuple[T, Cache]:
    """Look at an AnnData, open what computes, and do some work on what grows; return its result, and the cache."""
    cache = open_cache(config)
    with contextlib.ExitStack() as ending:
        ending.enter_context(using(cache))
        source = inspected(adata, config, cache)
        ending.enter_context(contextlib.closing(source.opened))
        earlier = earlier_of(adata, config)
        bar = ending.enter_context(contextlib.closing(ProgressBar(shown=progress)))
        for notice in (*source.notices, *(earlier.notices if earlier else ())):
            log.warning("%s: %s", NAME, notice)
        with _environment(), open_executor(Settings.of(config)) as executor:

            async def growing() -> T:
                steps = PlainSteps(executor)
                level_1 = Level1.of(config, source, executor.status)
                with contextlib.closing(steps):
                    return await work(
                        MemoryGrowth(
                            config,
                            source,
                            cache.for_run(),
                            level_1,
                            executor,
                            executor.status,
                            steps,
                            bar,
                            earlier=earlier,
                        )
                    )

            return in_a_loop(growing, executor.stop), cache


def inspected(adata: ad.AnnData, config: RunConfig, cache: Cache) -> Input:
    """Check an AnnData against what is asked, and stage what will be read in the cache. Raises UnusableAnnData."""
    settings = config.DATASETS[DATASET].clustering
    why = unusable(Place(config.cache_url, config.storage_options))
    problems = [f"cache: {why}; name another place"] if why else []
    try:
        placement_of(settings, config.gpu_for(DATASET), None)
    except EngineUnavailable as error:
        problems.append(str(error))
    if problems:
        raise UnusableAnnData(problems)
    opened = opened_adata(adata, settings)
    source, problems = inspect_memory(opened, DATASET, NAME, settings, cache)
    if source is not None:
        wrong = [*expression_problems(source, settings), child_markers_problem(source, settings)]
        wrong += [markers_problem(source, settings.markers) if settings.markers else None]
        problems = [problem.removeprefix(f"{source.name}: ") for problem in wrong if problem]
    if source is None or problems:
        raise UnusableAnnData(problems)
    for notice in embedding_notices(source, settings):
        log.warning("%s: %s", NAME, notice)
    return source


def earlier_of(adata: ad.AnnData, config: RunConfig) -> SharedCells | None:
    """Read the earlier result after which clusters are numbered, None where none is named. Raises UnusableAnnData."""
    settings = config.DATASETS[DATASET].clustering
    if settings.match is None:
        return None
    names = np.array(list(map(str, adata.obs_names)), dtype=object)
    try:
        return find_earlier(Place(settings.match, config.storage_options), names, settings)
    except DataError as error:
        raise UnusableAnnData([f"match: {error}"]) from None


async def _grown(growth: MemoryGrowth) -> Finished:
    embeddings, graph = await growth.ground()
    swept = () if growth.settings.listed_resolutions else await growth.sweep(embeddings, graph)
    trees = growth.trees(embeddings, graph, swept)
    await growth.split(trees)
    trees, match = await growth.ended(trees)
    advice = await growth.advice(trees, swept)
    return Finished.of(growth.source, trees, graph, None, embeddings, growth.config, advice, match)


async def _swept(growth: MemoryGrowth) -> tuple[Advice, ...]:
    return await growth.sweep(*await growth.ground())


def in_a_loop(work: Callable[[], Coroutine[Any, Any, T]], stop: Callable[[], object]) -> T:
    """Run a coroutine in a thread of its own and return its result; an interrupt of the caller stops it at once.

    Raises
    ------
    BaseException
        What the coroutine raises, or KeyboardInterrupt.
    """
    found: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work()))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="cellstrata", daemon=True)
    thread.start()
    try:
        thread.join()
    except BaseException:
        stop()
        thread.join()
        raise
    if raised:
        raise raised[0]
    return found[0]


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Put back the variables that an executor sets for its workers: what the caller starts later has its own."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
