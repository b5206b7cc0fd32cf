"""The steps of one file of one dataset, each of which asks for what it needs and says how far the run is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from prefect import get_run_logger

from cellstrata.flows.assets import publishing
from cellstrata.flows.early import find_started, load_for_publishing
from cellstrata.flows.figures import figures_of
from cellstrata.flows.growth import Growth
from cellstrata.flows.monitor.outcome import log_of
from cellstrata.flows.monitor.progress import BEGINS, DONE, Counts, Progress
from cellstrata.flows.monitor.summary import DatasetSummary
from cellstrata.flows.preparation import take_earlier, take_input
from cellstrata.flows.reports import report_of_dataset
from cellstrata.flows.run import Run
from cellstrata.flows.steps import PrefectSteps, run_step
from cellstrata.tasks.advice.advice import Advice
from cellstrata.tasks.cache.cache import ArrayRef
from cellstrata.tasks.inputs.level_1 import Embeddings, GraphRequest, Level1
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
from cellstrata.tasks.trees.root_graph import RootGraph
from cellstrata.tasks.trees.tree import Tree
from cellstrata.tasks.trees.umap import ComputedUmap, compute_umap, find_umap


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
class DatasetSteps(Growth):
    """One file of one dataset on its way through a run; its methods are called in the order in which they stand."""

    run: Run
    started: float
    log: Callable[[Progress], None] = field(repr=False)

    @classmethod
    async def begin(cls, run: Run, dataset: str, file_id: str) -> DatasetSteps:
        """Take the inspected input. Raises UnusableInputs."""
        started = time.perf_counter()
        source = await asyncio.to_thread(take_input, run, dataset, file_id)
        run.progress.announce(Progress(source.name, 0, 0, Counts(), BEGINS))
        level_1 = await asyncio.to_thread(Level1.of, run.config, source, run.gpu)
        return cls(
            run.config, source, run.open_cache().for_run(), level_1, run.executor, run.gpu, PrefectSteps(run.blocks),
            run, started, log_of(get_run_logger()), earlier=take_earlier(run, source.name),
        )  # fmt: skip

    def follow(self, progress: Progress) -> None:
        """Tell how far the trees have grown, and begin to import what publishing needs."""
        self.run.progress.announce(progress, self.log)
        if progress.counts.executed and self.config.runner != "threads":  # where a step may import the same meanwhile
            load_for_publishing()

    def find_graph(self, request: GraphRequest) -> RootGraph | None:
        """Return level 1's graph, if it is there already or was started before its turn."""
        return find_started(self.run, request, self.cache)

    async def umap(self, embeddings: Embeddings, graph: str) -> ArrayRef | None:
        """Return the UMAP, where one is asked for."""
        if self.source.umap != "compute":
            return None
        spec, method = self.source.neighbors, self.level_1.placement.umap_method(self.source.n_cells)
        arguments = (self.cache, graph, embeddings[spec.embedding], spec.metric, spec.n_neighbors,
                     self.settings.seed, method)  # fmt: skip
        find = self.unless_refresh(find_umap)
        drawn: ComputedUmap = await run_step(f"{self.name} · UMAP", "apart", compute_umap, *arguments, find=find)
        if drawn.fallback:
            get_run_logger().warning("%s: the CPU drew the UMAP, since %s", self.name, drawn.fallback)
        return drawn.coordinates

    async def grow(self, trees: Sequence[Tree], beside: Awaitable[ArrayRef | None]) -> ArrayRef | None:
        """Split all that is to be split; returns what was computed `beside` it.

        Raises
        ------
        SplitFailed
            If a cluster cannot be split.
        """
        grown, found = await asyncio.gather(self.split(trees), beside, return_exceptions=True)
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
        config = self.config
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
        figures, not_drawn = await figures_of(self.config, self.source, published, self.cache)
        notices = (*self.source.notices, *finished.notices(), *(markers.notices if markers else ()), *not_drawn)
        facts = RunFacts(**vars(self.counts), seconds=seconds, notices=notices, markers=markers)
        report = await report_of_dataset(self.config, finished, facts, self.cache)
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
