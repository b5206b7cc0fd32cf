"""From a dataset's settings and its inspected input to the plans of its trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.cache.cache import ArrayRef
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.reading import read_obs_column
from cellstrata.tasks.inputs.inspection import Input
from cellstrata.tasks.kernels.engines import Algorithm, PartitionSpec
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.trees.labels import column_name
from cellstrata.tasks.trees.parent_column import clusters_of
from cellstrata.tasks.trees.placement import placement_of
from cellstrata.tasks.trees.plan import EmbeddingChoice, NeighborsSpec, TreePlan, lay_over
from cellstrata.tasks.trees.tree import Given


def root_neighbors(settings: ClusteringConfig, base: NeighborsSpec) -> NeighborsSpec:
    """Return the graph parameters of level 1: the dataset's, or those that `levels: {1: …}` sets."""
    own = settings.hierarchy.parameters(())
    return lay_over(PartitionSpec("leiden", 1.0), base, own).neighbors if own else base


def tree_plans(
    settings: ClusteringConfig,
    source: Input,
    embeddings: Mapping[EmbeddingChoice, ArrayRef],
    graph: str,
    use_gpu: bool | Literal["required"],
    status: GpuStatus | None = None,
    resolutions: Mapping[Algorithm, Sequence[float]] | None = None,
    expression: str | None = None,
) -> list[TreePlan]:
    """Return one plan for each algorithm and resolution, those that are kept whole from the input left out.

    `use_gpu` is what both gates allow, and `status` of the process that will own the GPU, by default of
    this one. `resolutions` are those of each algorithm, by default those that are listed. `expression` names the values
    in which genes are found that tell children apart.

    Raises
    ------
    EngineUnavailable
        If a GPU is required and there is none, or the engine that is asked for is not installed.
    """
    placement = placement_of(settings, use_gpu, status)
    listed = settings.listed_resolutions
    asked = dict.fromkeys(settings.algorithm, listed) if resolutions is None else resolutions
    plans = [
        TreePlan(
            algorithm=algorithm,
            resolution=resolution,
            placement=placement,
            partition=PartitionSpec(
                algorithm=algorithm,
                resolution=resolution,
                n_iterations=settings.n_iterations,
                seed=settings.seed,
                use_weights=settings.use_weights,
                ensemble=settings.ensemble,
            ),
            neighbors=source.neighbors,
            min_cells=settings.min_cells,
            hierarchy=settings.hierarchy.of(algorithm, resolution),
            n_cells=source.n_cells,
            embeddings=dict(embeddings),
            root_graph=graph,
            root_graph_stored=source.stored_graph is not None,
            resolutions=tuple(asked.get(algorithm, ())),
            evidence=settings.evidence,
            stop=settings.stop_rules,
            batches=source.batches,
            embedding=settings.embedding,
            expression=expression,
        )
        for algorithm in settings.algorithm
        for resolution in asked.get(algorithm, ())
    ]
    return [plan for plan in plans if _column(plan, plan.depth) not in source.kept_columns]


def kept_partition(plan: TreePlan, source: Input) -> Given | None:
    """Return the deepest level that the input has already and that is kept, None if there is none."""
    kept = [level for level in range(1, plan.depth + 1) if _column(plan, level) in source.kept_columns]
    if not kept:
        return None
    with source.opened.root() as root:
        take_own(root, f"obs/{_column(plan, kept[-1])}")
        return clusters_of(read_obs_column(root, _column(plan, kept[-1])), kept[-1])


def _column(plan: TreePlan, level: int) -> str:
    return column_name(plan.algorithm, plan.resolution, level)
