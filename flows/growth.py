"""From an inspected input to finished trees: embeddings, level 1's graph, a sweep, the splits, the advice.

The flow and the call from a notebook both go this way, and so share cache, keys and labels. They differ in who runs
the steps (`Steps`), and in what is made of the trees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.model import RunConfig
from cellstrata.flows.driver import Driver
from cellstrata.flows.executors.executor import Executor
from cellstrata.flows.expression import ExpressionSteps
from cellstrata.flows.monitor.progress import Counts, Progress
from cellstrata.flows.submission import Steps
from cellstrata.tasks.advice.advice import Advice, advice_on
from cellstrata.tasks.advice.resolution_facts import sweep_plan
from cellstrata.tasks.advice.sweep import next_resolutions
from cellstrata.tasks.cache.cache import ArrayRef, Cache, DamagedEntry
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.level_1 import Embeddings, GraphRequest, Level1, pca_of
from cellstrata.tasks.inputs.plans import kept_partition, tree_plans
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.matching.earlier import SharedCells
from cellstrata.tasks.matching.trees import match_trees
from cellstrata.tasks.trees.ids import Match
from cellstrata.tasks.trees.neighbor_lists import find_lists
from cellstrata.tasks.trees.plan import EmbeddingChoice, TreePlan
from cellstrata.tasks.trees.root_graph import RootGraph, compute_lists, compute_neighbors
from cellstrata.tasks.trees.tree import Tree

WAITING = 2  # threads beyond the workers, so that a worker never waits for the next job's look-up


@dataclass
class Growth:
    """One file, or one AnnData in memory, on its way to finished trees."""

    config: RunConfig
    source: Input
    cache: Cache
    level_1: Level1
    executor: Executor
    gpu: GpuStatus | None
    steps: Steps
    counts: Counts = field(default_factory=Counts, kw_only=True)
    total: int = field(default=0, kw_only=True)  # cells times levels
    values: str | None = field(default=None, kw_only=True)  # names those in which genes tell children apart
    earlier: SharedCells | None = field(default=None, kw_only=True)  # after which clusters are numbered

    @property
    def name(self) -> str:
        """`dataset/file id`."""
        return self.source.name

    @property
    def settings(self) -> ClusteringConfig:
        """What the dataset's configuration says of clustering."""
        return self.level_1.settings

    def follow(self, progress: Progress) -> None:
        """Be told how far the trees have grown; called from the event loop."""

    def find_graph(self, request: GraphRequest) -> RootGraph | None:
        """Return level 1's graph, if it is there already."""
        return request.find(self.cache)

    async def ground(self) -> tuple[dict[EmbeddingChoice, ArrayRef], str]:
        """Return what trees grow from: the embeddings, and the key of level 1's graph.

        Which values tell children apart is known then, too, where a rule asks for genes that do.

        Raises
        ------
        InputError
            If these values are not there.
        """
        embeddings = await self._embeddings()
        graph = await self._graph(embeddings)
        self.values = await self._on_expression.values()
        return embeddings, graph

    async def _embeddings(self) -> dict[EmbeddingChoice, ArrayRef]:
        """Return the embeddings staged on inspection, and the PCA where it has to be computed."""
        ready = self.level_1.embeddings
        for request in self.level_1.pcas:
            arguments = (request, self.cache, self.config.refresh)
            ready[request.choice] = await self.steps.run(f"{self.name} · PCA", "apart", pca_of, *arguments)
        return ready

    async def _graph(self, embeddings: Embeddings) -> str:
        """Return the key of level 1's graph: the stored one's, or that of one computed here.

        The neighbour lists from which clusters below take theirs are there then, too.
        """
        graph = self.source.stored_graph or await self._computed_graph(embeddings)
        for lists in self.level_1.lists(embeddings):
            if find_lists(self.cache, lists) is None:
                name = f"{self.name} · neighbor lists · {self.source.n_cells:,} cells"
                await self.steps.run(name, "pool", compute_lists, self.cache, lists, self.executor.threads)
        return graph

    async def _computed_graph(self, embeddings: Embeddings) -> str:
        request = self.level_1.graph(embeddings)
        assert request is not None  # all embeddings are there
        name = f"{self.name} · neighbors · {self.source.n_cells:,} cells"
        arguments = request.arguments(self.cache, self.executor.threads, self.config.refresh)
        find = self.unless_refresh(lambda *_: self.find_graph(request))
        found: RootGraph = await self.steps.run(name, "pool", compute_neighbors, *arguments, find=find)
        return found.key

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
            await self.split(more)
            trees += more
        listed = trees_at([each for each in self.settings.listed_resolutions if each not in _resolutions(trees)])
        await self.split(listed)
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

    async def ended(self, trees: Sequence[Tree]) -> tuple[list[Tree], Match | None]:
        """Return grown trees with the levels that they came to, and the ids of an earlier result where one is named."""
        ended = [tree.ended() for tree in trees]
        if self.earlier is None:
            return ended, None
        return await asyncio.to_thread(match_trees, ended, self.earlier)

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

    async def split(self, trees: Sequence[Tree]) -> None:
        """Split all that is to be split.

        Raises
        ------
        SplitFailed
            If a cluster cannot be split.
        """
        before = self.total
        self.total += sum(tree.plan.n_cells * tree.plan.depth for tree in trees)

        def follow(settled: int, counts: Counts) -> None:
            level = min((tree.level for tree in trees), default=0)
            self.follow(Progress(self.name, before + settled, self.total, counts, level=level))

        driver = Driver(
            self.name,
            self.cache,
            await self.steps.splitting(self.cache, refresh=self.config.refresh),
            grain=self.config.grain_for(self.source.n_cells),
            at_once=self.executor.at_once + WAITING,
            refresh=self.config.refresh,
            on_progress=follow,
            counts=self.counts,
            derive=self._on_expression.derive,
            tell=self._on_expression.tell,
        )
        await driver.grow(trees)

    def unless_refresh(self, find: Callable[..., Any]) -> Callable[..., Any] | None:
        """Return what looks in the cache, None where everything is to be computed anew."""
        return None if self.config.refresh else find

    def _plans(
        self, embeddings: Embeddings, graph: str, resolutions: Mapping[Algorithm, Sequence[float]] | None
    ) -> list[TreePlan]:
        use_gpu = self.config.gpu_for(self.source.dataset)
        return tree_plans(self.settings, self.source, embeddings, graph, use_gpu, self.gpu, resolutions, self.values)

    @property
    def _on_expression(self) -> ExpressionSteps:
        config = self.config
        return ExpressionSteps(
            steps=self.steps, source=self.source, settings=self.settings, cache=self.cache, refresh=config.refresh,
            rehash=config.rehash,
        )  # fmt: skip


def _resolutions(trees: Sequence[Tree]) -> set[float]:
    return {tree.plan.resolution for tree in trees}
