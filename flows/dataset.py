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
from cellstrata.flows.figures import figures_of
from cellstrata.flows.monitor.outcome import log_of
from cellstrata.flows.monitor.progress import BEGINS, DONE, Counts, Progress
from cellstrata.flows.monitor.summary import DatasetSummary
from cellstrata.flows.preparation import take_input
from cellstrata.flows.reports import report_of_dataset
from cellstrata.flows.run import Run
from cellstrata.flows.steps import run_step, split
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.level_1 import Embeddings, Level1, pca_of
from cellstrata.tasks.inputs.plans import kept_partition, tree_plans
from cellstrata.tasks.report.subject import RunFacts
from cellstrata.tasks.report.write import WrittenPage
from cellstrata.tasks.results.result import Finished, Published, publish_result
from cellstrata.tasks.results.uses import note_use
from cellstrata.tasks.trees.plan import EmbeddingChoice
from cellstrata.tasks.trees.root_graph import RootGraph, compute_neighbors
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
        """Return the key of level 1's graph: the stored one's, or that of one computed here."""
        if self.source.stored_graph is not None:
            return self.source.stored_graph
        request = self.level_1.graph(embeddings)
        assert request is not None  # all embeddings are there
        name = f"{self.name} · neighbors · {self.source.n_cells:,} cells"
        arguments = request.arguments(self.cache, self.run.executor.threads)
        find = self._unless_refresh(lambda *_: find_started(self.run, request, self.cache))
        found: RootGraph = await run_step(name, "pool", compute_neighbors, *arguments, find=find)
        return found.key

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

    def trees(self, embeddings: Embeddings, graph: str) -> list[Tree]:
        """Return a tree for each algorithm and resolution, with the levels that the input has and that are kept."""
        config, source = self.run.config, self.source
        use_gpu = config.gpu_for(source.dataset)
        plans = tree_plans(self.settings, source, embeddings, graph, use_gpu, self.run.gpu)
        return [Tree(plan, kept_partition(plan, source)) for plan in plans]

    async def grow(self, trees: Sequence[Tree], beside: Awaitable[ArrayRef | None]) -> ArrayRef | None:
        """Split all that is to be split; returns what was computed `beside` it.

        Raises
        ------
        SplitFailed
            If a cluster cannot be split.
        """
        config = self.run.config
        self.total = sum(tree.plan.n_cells * tree.plan.depth for tree in trees)
        storage = await asyncio.to_thread(cache_block, self.cache, self.run.blocks)
        log = log_of(get_run_logger())

        def follow(settled: int, counts: Counts) -> None:
            level = min((tree.level for tree in trees), default=0)
            self.run.progress.announce(Progress(self.name, settled, self.total, counts, level=level), log)
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
        )
        grown, found = await asyncio.gather(driver.grow(trees), beside, return_exceptions=True)
        if isinstance(grown, BaseException):
            raise grown
        if isinstance(found, BaseException):
            raise found
        return found

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

    async def draw(self, finished: Finished, published: Published) -> Pages:
        """Draw figures and write the report, where they are wanted."""
        self._tell("drawing figures")
        seconds = time.perf_counter() - self.started
        figures, not_drawn = await figures_of(self.run.config, self.source, published.key, self.cache)
        notices = (*self.source.notices, *finished.notices(), *not_drawn)
        facts = RunFacts(**vars(self.counts), seconds=seconds, notices=notices)
        report = await report_of_dataset(self.run.config, finished, facts, self.cache)
        self._tell(DONE)
        return Pages(
            figures=figures.folder if figures else None,
            report=report,
            previews=figures.previews if figures else {},
            notices=(*notices, *([report.problem] if report.problem else [])),
        )

    def end(self, published: Published, pages: Pages) -> DatasetSummary:
        """Say what the user should know, and sum up."""
        for notice in pages.notices:
            get_run_logger().warning("%s: %s", self.name, notice)
        return DatasetSummary(
            output=published.output,
            labels=published.labels,
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
        )

    def _tell(self, doing: str) -> None:
        self.run.progress.announce(Progress(self.name, self.total, self.total, self.counts, doing))

    def _unless_refresh(self, find: Callable[..., Any]) -> Callable[..., Any] | None:
        return None if self.run.config.refresh else find
