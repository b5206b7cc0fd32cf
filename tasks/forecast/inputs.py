"""What a run would do for one file: PCA, graph, UMAP and trees, computed or found in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.branches.child_markers import ValuesRequest, find_values
from cellstrata.tasks.branches.embedding import BranchRequest, find_branches
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.forecast.split_times import SplitTimes
from cellstrata.tasks.forecast.sweeps import forecast_sweep
from cellstrata.tasks.forecast.trees import Seen, TreeForecast, forecast_tree
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.inputs.level_1 import Level1, known_pca
from cellstrata.tasks.inputs.plans import kept_partition, tree_plans
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.trees.own_embedding import NoEmbedding, OwnEmbedding
from cellstrata.tasks.trees.placement import placement_of
from cellstrata.tasks.trees.plan import EmbeddingChoice, TreePlan
from cellstrata.tasks.trees.tree import Pending, Tree
from cellstrata.tasks.trees.umap import find_umap

UNKNOWN = "the resolutions are yet to be found by the sweep: what follows it is not counted"


@dataclass(frozen=True)
class StepForecast:
    """A step that makes no labels, `pca`, `neighbors` or `umap`, and whether the cache has it.

    It is `unknown` where it depends on a PCA that is yet to be computed.
    """

    name: Literal["pca", "neighbors", "umap"]
    state: Literal["cached", "compute", "unknown"]
    n_cells: int
    seconds: float

    @property
    def computes(self) -> bool:
        """Tell whether it is or may be computed."""
        return self.state != "cached"

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {**vars(self), "seconds": round(self.seconds, 3)}


@dataclass
class InputForecast:
    """One file of one dataset. `chain` is the seconds that no number of workers can shorten; `notices` are what the
    user should know."""

    source: Input
    steps: list[StepForecast]
    trees: list[TreeForecast]
    chain: float
    notices: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """All work, in seconds of one core."""
        return sum(step.seconds for step in self.steps) + sum(
            level.seconds for tree in self.trees for level in tree.levels.values()
        )

    @property
    def computes(self) -> bool:
        """Tell whether anything is or may be computed."""
        levels = [level for tree in self.trees for level in tree.levels.values()]
        return any(step.computes for step in self.steps) or any(level.computes for level in levels)

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "cells": self.source.n_cells,
            "output": self.source.output,
            "steps": [step.to_json() for step in self.steps],
            "trees": [tree.to_json() for tree in self.trees],
            "seconds": round(self.seconds, 3),
            "notices": list(self.notices),
        }


def forecast_input(config: RunConfig, source: Input, cache: Cache, times: SplitTimes, seen: Seen) -> InputForecast:
    """Say what a run would do for an inspected input; X is read where its PCA has to be known.

    `seen` collects what is to be computed: the datasets of a run share it, since work that they have in
    common is done once.

    Raises
    ------
    InputError
        If X cannot be used for the PCA that is asked for.
    """
    settings = config.DATASETS[source.dataset].clustering
    level_1 = Level1.of(config, source)
    steps, embeddings = _embeddings(config, level_1, cache, times)
    graph, step = _graph(config, level_1, cache, embeddings, times, seen)
    steps += [step] if step is not None else []
    umap = _umap(config, source, cache, embeddings, graph, times, seen)

    request = ValuesRequest(source=source.opened, asked=settings.expression, rehash=config.rehash)
    values = find_values(request, cache) if settings.asks_child_markers else None

    def planned(resolutions: Mapping[Algorithm, Sequence[float]]) -> list[TreePlan]:
        use_gpu = config.gpu_for(source.dataset)
        return tree_plans(
            settings, source, embeddings, graph or "", use_gpu, resolutions=resolutions, expression=values
        )

    def embedding_of(pending: Pending) -> OwnEmbedding | NoEmbedding | None:
        request = BranchRequest.of(source.opened, [pending], rehash=config.rehash)
        found = find_branches(request, cache, config.refresh)
        return found[0] if found else None

    def follow(tree: Tree) -> TreeForecast:
        grain = config.grain_for(source.n_cells)
        return forecast_tree(
            tree, cache, times, seen=seen, refresh=config.refresh, grain=grain, embedding_of=embedding_of
        )

    listed = settings.listed_resolutions
    sweep = None if listed else forecast_sweep(settings.algorithm, settings.evidence, planned, follow, cache)
    taken: Mapping[Algorithm, Sequence[float]] = dict.fromkeys(settings.algorithm, listed) if not sweep else sweep.taken
    plans = {(plan.algorithm, plan.resolution): plan for plan in planned(taken)}
    trees = [] if sweep is None else sweep.trees
    for algorithm in settings.algorithm:
        for resolution in taken[algorithm]:
            plan = plans.get((algorithm, resolution))
            if plan is None:
                trees.append(TreeForecast(algorithm, resolution, settings.hierarchy.depth, {}))
                continue
            trees.append(follow(Tree(plan, kept_partition(plan, source))))
    before = sum(step.seconds / (config.worker_count if step.name == "neighbors" else 1) for step in steps)
    beside = umap.seconds if umap is not None else 0.0
    chain = before + max([beside, *(tree.chain for tree in trees)])
    notices = (*source.notices, *([] if sweep is None or sweep.is_known else [UNKNOWN]))
    return InputForecast(source, steps + ([umap] if umap is not None else []), trees, chain, notices)


def _embeddings(
    config: RunConfig, level_1: Level1, cache: Cache, times: SplitTimes
) -> tuple[list[StepForecast], dict[EmbeddingChoice, ArrayRef]]:
    steps, ready = [], level_1.embeddings
    for request in level_1.pcas:
        found = known_pca(request, cache)
        steps.append(_step("pca", level_1.source, found is not None and not config.refresh, times))
        if found is not None:
            ready[request.choice] = found
    return steps, ready


def _graph(
    config: RunConfig,
    level_1: Level1,
    cache: Cache,
    embeddings: dict[EmbeddingChoice, ArrayRef],
    times: SplitTimes,
    seen: Seen,
) -> tuple[str | None, StepForecast | None]:
    """The key of level 1's graph, None where it is not known, and its step, None for a stored graph."""
    source = level_1.source
    if source.stored_graph is not None:
        return source.stored_graph, None
    request = level_1.graph(embeddings)
    if request is None:
        return None, _step("neighbors", source, None, times)
    there = request.key in seen or request.find(cache) is not None
    seen.add(request.key)
    return request.key, _step("neighbors", source, there and not config.refresh, times)


def _umap(
    config: RunConfig,
    source: Input,
    cache: Cache,
    embeddings: dict[EmbeddingChoice, ArrayRef],
    graph: str | None,
    times: SplitTimes,
    seen: Seen,
) -> StepForecast | None:
    if source.umap != "compute":
        return None
    spec, settings = source.neighbors, config.DATASETS[source.dataset].clustering
    seed, place = settings.seed, placement_of(settings, config.gpu_for(source.dataset))
    ref = embeddings.get(spec.embedding)
    if ref is None or graph is None:
        return _step("umap", source, None, times)
    what = ("umap", graph, ref.digest, seed)
    arguments = (cache, graph, ref, spec.metric, spec.n_neighbors, seed, place.umap_method(source.n_cells))
    there = what in seen or find_umap(*arguments) is not None
    seen.add(what)
    return _step("umap", source, there and not config.refresh, times)


def _step(
    name: Literal["pca", "neighbors", "umap"], source: Input, cached: bool | None, times: SplitTimes
) -> StepForecast:
    """Forecast a step; `cached` is None where it is not known."""
    state: Any = "unknown" if cached is None else "cached" if cached else "compute"
    return StepForecast(name, state, source.n_cells, 0.0 if cached else times.step(name, source.n_cells))
