"""The flows: `cluster` maps over datasets and files, `cluster_dataset` over algorithms and resolutions.

Each reads like the picture in docs/design.md; the steps themselves are functions of `tasks`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from prefect import flow, get_run_logger, runtime, tags
from prefect.client.schemas.objects import State
from prefect.context import TagsContext

from cellstrata.configs.form import AsForm
from cellstrata.configs.model import RunConfig
from cellstrata.flows.assets import publishing
from cellstrata.flows.caching import CellstrataCache, cache_block
from cellstrata.flows.driver import Driver
from cellstrata.flows.early import find_started, load_for_publishing
from cellstrata.flows.executors.executor import Executor, Settings
from cellstrata.flows.executors.registry import current_executor, gpu_of_run, shared_executor
from cellstrata.flows.executors.task_runner import WAITING, ExecutorTaskRunner
from cellstrata.flows.figures import figures_of
from cellstrata.flows.monitor.artifacts import LiveArtifacts, column_rows
from cellstrata.flows.monitor.outcome import dataset_state, log_of, run_name, run_state
from cellstrata.flows.monitor.progress import Counts, Progress, announce
from cellstrata.flows.monitor.summary import DatasetSummary, RunSummary
from cellstrata.flows.preparation import forget, open_cache, prepare, ready, take_input
from cellstrata.flows.reports import index_of_run, report_of_dataset
from cellstrata.flows.steps import run_step, split
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.cache.leases import using
from cellstrata.tasks.inputs.file_tables import write_file_tables
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.pca import compute_pca
from cellstrata.tasks.inputs.plans import kept_partition, root_neighbors, tree_plans
from cellstrata.tasks.kernels.placement import Placement, placement_of
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.results.result import Finished, Published, publish_result
from cellstrata.tasks.results.uses import note_use
from cellstrata.tasks.trees.plan import EmbeddingChoice
from cellstrata.tasks.trees.root_graph import RootGraph, compute_neighbors
from cellstrata.tasks.trees.tree import Tree
from cellstrata.tasks.trees.umap import ComputedUmap, compute_umap, find_umap

AT_ONCE = 32  # datasets: each has threads of its own, which wait for the workers


@flow(name="cluster", flow_run_name=run_name, persist_result=False)
async def cluster(config: Annotated[RunConfig, AsForm()]) -> State[dict[str, object]]:
    """Cluster every file of every dataset of a configuration.

    Its result, which `summary_of` reads from the state, is `datasets`, by `dataset/file id`: `output`,
    `columns`, `splits`, `seconds` …, or `error` for those that failed; the others are finished all the
    same, and the state is Failed.

    Raises
    ------
    RunnerUnusable, UnusableInputs
        Before any work starts, with everything that is wrong with the runner, or in all datasets.
    """
    started = time.perf_counter()
    config = await asyncio.to_thread(ready, config, runtime.deployment.id is not None)
    with shared_executor(Settings.of(config)) as executor:
        datasets = await _all_datasets(config, executor)
    index = await index_of_run(config, datasets)
    return run_state(
        RunSummary(
            datasets=datasets,
            index=index.url,
            index_written=index.written,
            notices=(index.problem,) if index.problem else (),
            seconds=round(time.perf_counter() - started, 3),
        )
    )


async def _all_datasets(config: RunConfig, executor: Executor) -> dict[str, DatasetSummary]:
    inputs = await asyncio.to_thread(prepare, config)
    await asyncio.to_thread(write_file_tables, config)
    runner: Any = ExecutorTaskRunner(Settings.of(config), executor.at_once)
    beside = asyncio.Semaphore(min(max(2, executor.at_once), AT_ONCE))

    async def one(source: Input) -> State[Any]:
        async with beside:
            with tags(f"dataset:{source.dataset}", f"runner:{config.runner}"):
                child = cluster_dataset.with_options(task_runner=runner)
                try:
                    return await child(config, source.dataset, source.file_id, return_state=True)
                finally:
                    source.opened.close()

    try:
        with using(open_cache(config)):
            states = await asyncio.gather(*map(one, inputs.values()))
    finally:
        forget(config)
    return {name: await _summary(state) for name, state in zip(inputs, states, strict=True)}


@flow(name="cluster_dataset", flow_run_name="{dataset}/{file_id}", persist_result=False)
async def cluster_dataset(config: RunConfig, dataset: str, file_id: str) -> State[dict[str, object]]:
    """Cluster one file: embedding and graph, then every algorithm and resolution, then the result."""
    with TagsContext(current_tags=set()):  # for each tag of a task run Prefect asks its server for a slot
        return await _steps(config, dataset, file_id)


async def _steps(config: RunConfig, dataset: str, file_id: str) -> State[dict[str, object]]:
    started = time.perf_counter()
    config = await asyncio.to_thread(ready, config)
    source = await asyncio.to_thread(take_input, config, dataset, file_id)
    settings, cache = config.DATASETS[dataset].clustering, open_cache(config).for_run()
    storage = await _result_storage(config, cache)

    embeddings = await _embeddings(config, source, cache)
    graph = await _graph(config, source, cache, embeddings)
    umap = asyncio.create_task(_umap(config, source, cache, embeddings, graph))

    plans = tree_plans(settings, source, embeddings, graph, config.gpu_for(dataset), gpu_of_run(config.runner))
    trees = [Tree(plan, kept_partition(plan, source)) for plan in plans]
    total = sum(tree.plan.n_cells * tree.plan.depth for tree in trees)
    log = log_of(get_run_logger())

    def follow(settled: int, counts: Counts) -> None:
        announce(Progress(source.name, settled, total, counts), log)
        if counts.executed and config.runner != "threads":  # where a step may import the same meanwhile
            load_for_publishing()

    driver = Driver(
        source.name,
        cache,
        split.with_options(result_storage=storage, refresh_cache=config.refresh).submit,
        grain=config.grain,
        at_once=current_executor().at_once + WAITING,
        refresh=config.refresh,
        on_progress=follow,
    )
    async with LiveArtifacts(source.name) as live:
        grown, drawn = await asyncio.gather(driver.grow(trees), umap, return_exceptions=True)
        if isinstance(grown, BaseException):
            raise grown
        if isinstance(drawn, BaseException):
            raise drawn

        announce(Progress(source.name, total, total, driver.counts, "publishing"))
        if driver.counts.executed:
            await asyncio.to_thread(load_for_publishing().join)  # two threads must not import it at once
        finished = Finished.of(source, trees, graph, drawn, embeddings, config)
        published: Published = await run_step(
            f"{source.name} · publish", "here", publish_result, finished, cache,
            task=publishing(source),
        )  # fmt: skip
        await asyncio.to_thread(note_use, cache, source.name, finished)
        announce(Progress(source.name, total, total, driver.counts, "drawing figures"))
        seconds = time.perf_counter() - started
        figures, not_drawn = await figures_of(config, source, published.key, cache)
        notices = [*source.notices, *finished.notices(), *not_drawn]
        run = RunFacts(**vars(driver.counts), seconds=seconds, notices=tuple(notices))
        page = await report_of_dataset(config, finished, run, cache)
        places = {"result": source.output, "figures": figures and figures.folder, "report": page.url}
        links = {what: place for what, place in places.items() if place}
        announce(Progress(source.name, total, total, driver.counts, "done"))
        await live.tell(column_rows(published, trees), links, figures.previews if figures else {})
    notices += [page.problem] if page.problem else []
    for notice in notices:
        get_run_logger().warning("%s: %s", source.name, notice)
    return dataset_state(
        DatasetSummary(
            output=published.output,
            labels=published.labels,
            figures=figures.folder if figures else None,
            report=page.url,
            columns=published.columns,
            clusters=published.clusters,
            modularity=published.modularity,
            splits=driver.counts,
            seconds=round(time.perf_counter() - started, 3),
            notices=tuple(notices),
            written=published.written,
            report_written=page.written,
        )
    )


async def _result_storage(config: RunConfig, cache: Cache) -> CellstrataCache:
    CellstrataCache.storage_options = config.storage_options
    return await asyncio.to_thread(cache_block, cache)


async def _embeddings(config: RunConfig, source: Input, cache: Cache) -> dict[EmbeddingChoice, ArrayRef]:
    """The embeddings staged on inspection, and the PCA where it has to be computed."""
    ready = {choice: ref for choice, ref in source.embeddings.items() if ref is not None}
    for choice in source.embeddings.keys() - ready.keys():
        compute = partial(compute_pca, refresh=config.refresh, rehash=config.rehash)
        ready[choice] = await run_step(f"{source.name} · PCA", "apart", compute, source.opened, cache, choice.n_pcs)
    return ready


async def _graph(config: RunConfig, source: Input, cache: Cache, embeddings: dict[EmbeddingChoice, ArrayRef]) -> str:
    """The key of level 1's graph: the stored one's, or that of one computed here."""
    if source.stored_graph is not None:
        return source.stored_graph
    settings = config.DATASETS[source.dataset].clustering
    spec, place = root_neighbors(settings, source.neighbors), _place(config, source)
    name = f"{source.name} · neighbors · {source.n_cells:,} cells"
    method = place.knn_method(source.n_cells)
    arguments = (cache, embeddings[spec.embedding], spec.n_neighbors, spec.metric, current_executor().threads, method)
    found: RootGraph = await run_step(name, "pool", compute_neighbors, *arguments, find=_find(config, find_started))
    return found.key


async def _umap(
    config: RunConfig, source: Input, cache: Cache, embeddings: dict[EmbeddingChoice, ArrayRef], graph: str
) -> ArrayRef | None:
    """The UMAP, where one is asked for; it is drawn beside the splits."""
    if source.umap != "compute":
        return None
    spec, settings = source.neighbors, config.DATASETS[source.dataset].clustering
    method = _place(config, source).umap_method(source.n_cells)
    arguments = (cache, graph, embeddings[spec.embedding], spec.metric, spec.n_neighbors, settings.seed, method)
    drawn: ComputedUmap = await run_step(
        f"{source.name} · UMAP", "apart", compute_umap, *arguments, find=_find(config, find_umap)
    )
    if drawn.fallback:
        get_run_logger().warning("%s: the CPU drew the UMAP, since %s", source.name, drawn.fallback)
    return drawn.coordinates


def _place(config: RunConfig, source: Input) -> Placement:
    """Where the work of a dataset runs, as the run's executor sees its devices."""
    settings = config.DATASETS[source.dataset].clustering
    return placement_of(settings, config.gpu_for(source.dataset), gpu_of_run(config.runner))


def _find(config: RunConfig, look: Callable[..., Any]) -> Callable[..., Any] | None:
    return None if config.refresh else look


async def _summary(state: State[Any]) -> DatasetSummary:
    """What a dataset came to: its flow's result, or the reason why it has none."""
    if state.is_completed():
        return DatasetSummary.from_json(await state.aresult())
    error: object = await state.aresult(raise_on_failure=False)
    said = (str(error) or repr(error)) if isinstance(error, BaseException) else str(state.message)
    return DatasetSummary(error=said)
