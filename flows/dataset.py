"""The steps of one file of one dataset, each of which asks for what it needs and says how far the run is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import get_run_logger

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.flows.assets import publishing
from cellstrata.flows.caching import cache_block
from cellstrata.flows.driver import Driver
from cellstrata.flows.early import find_started, load_for_publishing
from cellstrata.flows.expression import ExpressionSteps
from cellstrata.flows.figures import figures_of
from cellstrata.flows.monitor.outcome import log_of
from cellstrata.flows.monitor.progress import BEGINS, DONE, Counts, Progress
from cellstrata.flows.monitor.summary import DatasetSummary
from cellstrata.flows.preparation import take_input
from cellstrata.flows.reports import report_of_dataset
from cellstrata.flows.run import Run
from cellstrata.flows.steps import run_step, split
from cellstrata.tasks.advice.advice import Advice, advice_on
from cellstrata.tasks.advice.resolution_facts import sweep_plan
from cellstrata.tasks.advice.sweep import next_resolutions
from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.level_1 import Embeddings, Level1, pca_of
from cellstrata.tasks.inputs.plans import kept_partition, tree_plans
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import WrittenPage
from cellstrata.tasks.results.dataset_markers import (
    DatasetMarkers,
    find_dataset_markers,
    remove_other_markers,
    write_dataset_markers,
)
from cellstrata.tasks.results.marker_genes import Markers
from cellstrata.tasks.results.result import Finished, Published, publish_result
from cellstrata.tasks.results.uses import note_use
from cellstrata.tasks.trees.neighbor_lists import find_lists
from cellstrata.tasks.trees.plan import EmbeddingChoice, TreePlan
from cellstrata.tasks.trees.root_graph import RootGraph, compute_lists, compute_neighbors
from cellstrata.tasks.trees.tree import Tree
from cellstrata.tasks.trees.umap import ComputedUmap, compute_umap, find_umap

WAITING = 2  # threads beyond the workers, so that a worker never waits for the next job's look-up


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What was made for people beside a result, and what they should know of it."""

    figures: str | None  # a folder
    report: WrittenPage
    previews: Mapping[str, str]  # images as `data:` URLs, by title
    notices: tuple[str, ...]

    def links(self, result: str) -> dict[str, str]:
        """Return where people find the result and what was made beside it, by name."""
        places = {"result": result, "figures": self.figures, "report": self.report.url}
        return {what: place for what, place in places.items() if place}


@dataclass
class DatasetSteps:
    """One file of one dataset on its way through a run; its methods are called in the order in which they stand."""

    run: Run
    source: Input
    cache: Cache
    level_1: Level1
    started: float
    counts: Counts = field(default_factory=Counts)
    total: int = 0  # cells times levels
    values: str | None = None  # names those in which genes are found that tell children apart

    @classmethod
    async def begin(cls, run: Run, dataset: str, file_id: str) -> DatasetSteps:
        """Take the inspected input. Raises UnusableInputs."""
        started = time.perf_counter()
        source = await asyncio.to_thread(take_input, run, dataset, file_id)
        run.progress.announce(Progress(source.name, 0, 0, Counts(), BEGINS))
        level_1 = await asyncio.to_thread(Level1.of, run.config, source, run.gpu)
        return cls(run, source, run.open_cache().for_run(), level_1, started)

    @property
    def name(self) -> str:
        """`dataset/file id`."""
        return self.source.name

    @property
    def settings(self) -> ClusteringConfig:
        """What the dataset's configuration says of clustering."""
        return self.level_1.settings

    async def embeddings(self) -> dict[EmbeddingChoice, ArrayRef]:
        """Return the embeddings staged on inspection, and the PCA where it has to be computed."""
        ready = self.level_1.embeddings
        for request in self.level_1.pcas:
            arguments = (request, self.cache, self.run.config.refresh)
            ready[request.choice] = await run_step(f"{self.name} · PCA", "apart", pca_of, *arguments)
        return ready

    async def graph(self, embeddings: Embeddings) -> str:
        """Return the key of level 1's graph: the stored one's, or that of one computed here.

        The neighbour lists from which clusters below take theirs are there then, too.
        """
        graph = self.source.stored_graph or await self._computed_graph(embeddings)
        for lists in self.level_1.lists(embeddings):
            if find_lists(self.cache, lists) is None:
                name = f"{self.name} · neighbor lists · {self.source.n_cells:,} cells"
                await run_step(name, "pool", compute_lists, self.cache, lists, self.run.executor.threads)
        return graph

    async def _computed_graph(self, embeddings: Embeddings) -> str:
        request = self.level_1.graph(embeddings)
        assert request is not None  # all embeddings are there
        name = f"{self.name} · neighbors · {self.source.n_cells:,} cells"
        arguments = request.arguments(self.cache, self.run.executor.threads, self.run.config.refresh)
        find = self._unless_refresh(lambda *_: find_started(self.run, request, self.cache))
        found: RootGraph = await run_step(name, "pool", compute_neighbors, *arguments, find=find)
        return found.key

    async def expression(self) -> None:
        """Learn which values tell children apart, where a rule asks for genes that do. Raises InputError."""
        self.values = await self._on_expression.values()

    async def umap(self, embeddings: Embeddings, graph: str) -> ArrayRef | None:
        """Return the UMAP, where one is asked for."""
        if self.source.umap != "compute":
            return None
        spec, method = self.source.neighbors, self.level_1.placement.umap_method(self.source.n_cells)
        arguments = (self.cache, graph, embeddings[spec.embedding], spec.metric, spec.n_neighbors,
                     self.settings.seed, method)  # fmt: skip
        find = self._unless_refresh(find_umap)
        drawn: ComputedUmap = await run_step(f"{self.name} · UMAP", "apart", compute_umap, *arguments, find=find)
        if drawn.fallback:
            get_run_logger().warning("%s: the CPU drew the UMAP, since %s", self.name, drawn.fallback)
        return drawn.coordinates

    async def sweep(self, embeddings: Embeddings, graph: str) -> tuple[Advice, ...]:
        """Split level 1 at the resolutions of a sweep, gather the evidence, and return what is advised, by algorithm.

        What the configuration lists is set beside them.

        Raises
        ------
        SplitFailed
            If the cells cannot be split.
        DamagedEntry
            If what was split is gone from the cache.
        """
        return tuple([await self._swept(algorithm, embeddings, graph) for algorithm in self.settings.algorithm])

    async def _swept(self, algorithm: Algorithm, embeddings: Embeddings, graph: str) -> Advice:
        def trees_at(resolutions: Sequence[float]) -> list[Tree]:
            plans = self._plans(embeddings, graph, {algorithm: resolutions})
            return [Tree(sweep_plan(plan, self.settings.evidence)) for plan in plans]

        trees: list[Tree] = []
        while wanted := next_resolutions({tree.plan.resolution: tree.n_parts(()) for tree in trees}):
            more = trees_at(wanted)
            await self._split(more)
            trees += more
        listed = trees_at([each for each in self.settings.listed_resolutions if each not in _resolutions(trees)])
        await self._split(listed)
        advice = await asyncio.to_thread(advice_on, [tree.plan for tree in (*trees, *listed)], self.cache)
        if advice is None:
            raise DamagedEntry(f"splits of the sweep are gone from {self.cache.store.url} since they were made")
        return advice

    def trees(self, embeddings: Embeddings, graph: str, swept: Sequence[Advice]) -> list[Tree]:
        """Return a tree for each algorithm and resolution, with the levels that the input has and that are kept.

        The resolutions are those that a sweep advises, where it was asked to find them.
        """
        taken = {advice.algorithm: advice.taken for advice in swept}
        plans = self._plans(embeddings, graph, taken or None)
        return [Tree(plan, kept_partition(plan, self.source)) for plan in plans]

    async def advice(self, trees: Sequence[Tree], swept: tuple[Advice, ...]) -> tuple[Advice, ...]:
        """Return which of the resolutions to take that were split, by algorithm; with a sweep what that advises."""
        if swept:
            return swept
        made = [tree.plan for tree in trees if tree.given is None]
        found = []
        for algorithm in self.settings.algorithm:
            own = [plan for plan in made if plan.algorithm == algorithm]
            if len(own) > 1 and (advice := await asyncio.to_thread(advice_on, own, self.cache)):
                found.append(advice)
        return tuple(found)

    async def grow(self, trees: Sequence[Tree], beside: Awaitable[ArrayRef | None]) -> ArrayRef | None:
        """Split all that is to be split; returns what was computed `beside` it.

        Raises
        ------
        SplitFailed
            If a cluster cannot be split.
        """
        grown, found = await asyncio.gather(self._split(trees), beside, return_exceptions=True)
        if isinstance(grown, BaseException):
            raise grown
        if isinstance(found, BaseException):
            raise found
        return found

    def _plans(
        self, embeddings: Embeddings, graph: str, resolutions: Mapping[Algorithm, Sequence[float]] | None
    ) -> list[TreePlan]:
        use_gpu = self.run.config.gpu_for(self.source.dataset)
        return tree_plans(
            self.settings, self.source, embeddings, graph, use_gpu, self.run.gpu, resolutions, self.values
        )

    async def _split(self, trees: Sequence[Tree]) -> None:
        config, before = self.run.config, self.total
        self.total += sum(tree.plan.n_cells * tree.plan.depth for tree in trees)
        storage = await asyncio.to_thread(cache_block, self.cache, self.run.blocks)
        log = log_of(get_run_logger())

        def follow(settled: int, counts: Counts) -> None:
            level = min((tree.level for tree in trees), default=0)
            self.run.progress.announce(Progress(self.name, before + settled, self.total, counts, level=level), log)
            if counts.executed and config.runner != "threads":  # where a step may import the same meanwhile
                load_for_publishing()

        driver = Driver(
            self.name,
            self.cache,
            split.with_options(result_storage=storage, refresh_cache=config.refresh).submit,
            grain=config.grain,
            at_once=self.run.executor.at_once + WAITING,
            refresh=config.refresh,
            on_progress=follow,
            counts=self.counts,
            derive=self._on_expression.derive,
            tell=self._on_expression.tell,
        )
        await driver.grow(trees)

    @property
    def _on_expression(self) -> ExpressionSteps:
        config = self.run.config
        return ExpressionSteps(
            source=self.source, settings=self.settings, cache=self.cache, refresh=config.refresh, rehash=config.rehash
        )

    async def publish(self, finished: Finished) -> Published:
        """Write the result and the table of labels, and note in the cache what they use."""
        self._tell("publishing")
        if self.counts.executed:
            await asyncio.to_thread(load_for_publishing().join)  # two threads must not import it at once
        published: Published = await run_step(
            f"{self.name} · publish", "here", publish_result, finished, self.cache, task=publishing(self.source),
        )  # fmt: skip
        await asyncio.to_thread(note_use, self.cache, self.name, finished)
        return published

    async def markers(self, finished: Finished, published: Published) -> Markers | None:
        """Find the marker genes of all clusters and write them beside the result, where they are asked for.

        Where they are not, those of other clusters do not stay beside it.
        """
        if self.settings.markers is None:
            opened = self.source.opened
            if await asyncio.to_thread(remove_other_markers, opened, published.output, published.key):
                get_run_logger().warning("%s: markers.parquet was of other clusters, and is removed", self.name)
            return None
        self._tell("finding markers")
        config = self.run.config
        request = DatasetMarkers.of(finished, self.settings.markers, rehash=config.rehash)
        arguments = (request, self.cache, config.refresh)
        found: Markers = await run_step(
            f"{self.name} · markers", "apart", write_dataset_markers, *arguments, find=find_dataset_markers
        )  # fmt: skip
        await asyncio.to_thread(note_use, self.cache, self.name, finished, found.key)
        return found

    async def draw(self, finished: Finished, published: Published, markers: Markers | None = None) -> Pages:
        """Draw figures and write the report, where they are wanted."""
        self._tell("drawing figures")
        seconds = time.perf_counter() - self.started
        figures, not_drawn = await figures_of(self.run.config, self.source, published, self.cache)
        notices = (*self.source.notices, *finished.notices(), *(markers.notices if markers else ()), *not_drawn)
        facts = RunFacts(**vars(self.counts), seconds=seconds, notices=notices, markers=markers)
        report = await report_of_dataset(self.run.config, finished, facts, self.cache)
        self._tell(DONE)
        return Pages(
            figures=figures.folder if figures else None,
            report=report,
            previews=figures.previews if figures else {},
            notices=(*notices, *([report.problem] if report.problem else [])),
        )

    def end(
        self, published: Published, pages: Pages, advice: tuple[Advice, ...], markers: Markers | None = None
    ) -> DatasetSummary:
        """Say what the user should know, and sum up."""
        for notice in pages.notices:
            get_run_logger().warning("%s: %s", self.name, notice)
        return DatasetSummary(
            output=published.output,
            labels=published.labels,
            markers=markers.table if markers else None,
            figures=pages.figures,
            report=pages.report.url,
            columns=published.columns,
            clusters=published.clusters,
            modularity=published.modularity,
            splits=self.counts,
            seconds=round(time.perf_counter() - self.started, 3),
            notices=pages.notices,
            foremost=len(self.source.foremost) or None,
            written=published.written,
            report_written=pages.report.written,
            advice=advice,
        )

    def advised(self, advice: tuple[Advice, ...]) -> DatasetSummary:
        """Say what the user should know, and sum up a sweep alone."""
        self._tell(DONE)
        for notice in self.source.notices:
            get_run_logger().warning("%s: %s", self.name, notice)
        return DatasetSummary(
            splits=self.counts,
            seconds=round(time.perf_counter() - self.started, 3),
            notices=self.source.notices,
            foremost=len(self.source.foremost) or None,
            advice=advice,
        )

    def _tell(self, doing: str) -> None:
        self.run.progress.announce(Progress(self.name, self.total, self.total, self.counts, doing))

    def _unless_refresh(self, find: Callable[..., Any]) -> Callable[..., Any] | None:
        return None if self.run.config.refresh else find


def _resolutions(trees: Sequence[Tree]) -> set[float]:
    return {tree.plan.resolution for tree in trees}
