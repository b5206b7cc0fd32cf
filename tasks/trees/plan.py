"""What is asked of one tree: the parameters of each split, and when a cluster is left whole and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.configs.evidence import AGAIN, AUTO, NEVER, EvidenceConfig, StopRules
from cellstrata.configs.hierarchy import Hierarchy, LevelParameters
from cellstrata.tasks.cache.cache import ArrayRef
from cellstrata.tasks.kernels.engines import Algorithm, PartitionSpec
from cellstrata.tasks.kernels.knn import METRICS
from cellstrata.tasks.trees.labels import Path, label_of
from cellstrata.tasks.trees.neighbor_lists import FROM_LISTS, NeighborLists, lists_of
from cellstrata.tasks.trees.placement import Placement

NOT_ASKED = "not asked for"
LAST_LEVEL = "last level"
ATTEMPTS = (1.0, 0.5, 2.0, 0.25, 4.0)  # times the resolution: how a split that does not stand is tried again
ONE_COMMUNITY = "one community"


@dataclass(frozen=True)
class EmbeddingChoice:
    """Which embedding: a key of obsm (or `X`), and how many of its first columns, None for all.

    `own` says how one is derived from a cluster's own cells; then the other two say nothing.
    """

    use_rep: str
    n_pcs: int | None = None
    own: EmbeddingConfig | None = None

    def __str__(self) -> str:
        if self.own is not None:
            return str(self.own)
        return self.use_rep if self.n_pcs is None else f"{self.use_rep}[:, :{self.n_pcs}]"


@dataclass(frozen=True)
class NeighborsSpec:
    """How a kNN graph is built: `n_neighbors` counts the cell itself."""

    n_neighbors: int
    metric: str
    embedding: EmbeddingChoice


@dataclass(frozen=True)
class SplitSpec:
    """The parameters with which one node is split."""

    partition: PartitionSpec
    neighbors: NeighborsSpec


@dataclass(frozen=True, kw_only=True)
class Batches:
    """An obs column that says from where cells are: (n,) int32 codes in the cache, -1 for none, and its groups."""

    column: str
    codes: ArrayRef
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TreePlan:
    """One algorithm at one base resolution on one dataset.

    `placement` says which engine splits how many cells, and why; `resolutions` are all those at which
    level 1's graph is partitioned. `embeddings` gives the address of each (n, d) float32 embedding in the
    cache; `embedding` how those of clusters are derived from their own cells, None where all have one of these;
    `root_graph` is the key of level 1's graph and `root_graph_stored` tells that it came with the input.
    `evidence` is how much of it is gathered for each split, None where that is left to the rules of `stop`;
    `batches` are the columns whose spread over clusters is told, the first for the rule on donors.
    `expression` names the values in which genes are found that tell children apart, by what they are; None where no
    rule asks for such, or that is not known.
    """

    algorithm: Algorithm
    resolution: float
    placement: Placement
    partition: PartitionSpec
    neighbors: NeighborsSpec
    min_cells: int
    hierarchy: Hierarchy
    n_cells: int
    embeddings: Mapping[EmbeddingChoice, ArrayRef]
    root_graph: str
    root_graph_stored: bool
    resolutions: tuple[float, ...] = ()
    evidence: EvidenceConfig | None = None
    stop: StopRules = NEVER
    batches: tuple[Batches, ...] = ()
    embedding: EmbeddingConfig | None = None
    expression: str | None = None

    @property
    def derives(self) -> bool:
        """Whether clusters may be split on embeddings of their own."""
        return bool(self.hierarchy.embeddings(self.embedding))

    @property
    def reads_expression(self) -> bool:
        """Whether splits may wait for what the input's expression tells, which workers do not have.

        Then each cluster is a piece of work by itself.
        """
        return self.derives or any(rules.asks_markers for rules in (self.stop, *self.hierarchy.all_rules()))

    @property
    def draws(self) -> EvidenceConfig:
        """How much evidence is gathered where it is."""
        return self.evidence or EvidenceConfig()

    @property
    def name(self) -> str:
        """`leiden 0.5`, as people read it."""
        return f"{self.algorithm} {self.resolution}"

    @property
    def depth(self) -> int:
        """The number of levels."""
        return self.hierarchy.depth

    @property
    def entries_of_all_cells(self) -> tuple[str, ...]:
        """The keys of what may be in the cache before level 1 is split: its graph, and lists of neighbours."""
        return (self.root_graph, *(lists.key for lists in self.all_lists))

    @property
    def all_lists(self) -> tuple[NeighborLists, ...]:
        """The lists from which neighbours of clusters may be taken, by embedding and metric."""
        method = self.placement.knn_method(self.n_cells)
        every = (lists_of(ref, 1, metric, method) for ref in self.embeddings.values() for metric in METRICS)
        return tuple(lists for lists in every if lists is not None)

    @property
    def attempts(self) -> tuple[float, ...]:
        """By what the resolution is multiplied, one after the other, until a split stands: once, by 1, as a rule.

        Where the tree is to end by itself, all are tried before a cluster counts as one.
        """
        return ATTEMPTS if self.hierarchy.until_stable else (1.0,)

    def decide(self, path: Path, n_cells: int, attempt: int = 0) -> SplitSpec | str:
        """Return how the cluster at `path` is split, or the reason why it is left whole.

        The one place that knows: the last level, clusters not asked for, and those with fewer than
        max(min_cells, 2 × n_neighbors) cells. Level 1 is always tried, on the whole graph. `attempt` counts those at
        this cluster, from 0.
        """
        if len(path) >= self.depth:
            return LAST_LEVEL
        level = self.hierarchy.parameters(path)
        if level is None:
            if path:
                return NOT_ASKED
            level = LevelParameters()
        spec = lay_over(self.partition, self.neighbors, level, self.embedding if path else None)
        needed = max(level.min_cells if level.min_cells is not None else self.min_cells, 2 * spec.neighbors.n_neighbors)
        if path and n_cells < needed:
            return f"too small: {n_cells} cells, {needed} needed"
        if not attempt:
            return spec
        resolution = spec.partition.resolution * self.attempts[attempt]
        return replace(spec, partition=replace(spec.partition, resolution=resolution))

    def stop_rules(self, path: Path, attempt: int = 0) -> StopRules:
        """Return the rules by which the split of the cluster at `path` does not stand.

        Of a further attempt `auto` asks more: AGAIN.
        """
        level = self.hierarchy.parameters(path)
        rules = self.stop if level is None or level.stop is None else level.stop
        return AGAIN if attempt and rules == AUTO else rules

    def asks_evidence(self, path: Path) -> bool:
        """Tell whether halves of the cluster at `path` may be clustered, for its own sake or for a rule."""
        return self.evidence is not None or self.stop_rules(path).asks_halves

    def lists_for(self, spec: NeighborsSpec, n_cells: int) -> NeighborLists | None:
        """Return the lists from which the neighbours of so many cells are taken, None where they are searched for."""
        ref, place = self.embeddings.get(spec.embedding), self.placement
        if ref is None or n_cells < FROM_LISTS or place.knn_method(n_cells) is not None:
            return None
        return lists_of(ref, spec.n_neighbors, spec.metric, place.knn_method(self.n_cells))

    def unknown_clusters(self, known: set[Path]) -> list[str]:
        """Return the ids that the hierarchy names but the tree does not have."""
        return [label_of(path) for path in self.hierarchy.named_clusters() if path not in known]


def lay_over(
    partition: PartitionSpec,
    neighbors: NeighborsSpec,
    level: LevelParameters,
    embedding: EmbeddingConfig | None = None,
) -> SplitSpec:
    """Lay a level's own parameters over those of the dataset; what it does not name stays.

    `embedding` says how the dataset's clusters have theirs derived, None where they do not, and for level 1.
    """

    def given(value: object, base: object) -> object:
        return base if value is None else value

    use_rep = level.use_rep or neighbors.embedding.use_rep
    same, own = use_rep == neighbors.embedding.use_rep, level.own_embedding(embedding)
    n_pcs = level.n_pcs if level.n_pcs is not None else (neighbors.embedding.n_pcs if same else None)
    return SplitSpec(
        PartitionSpec(
            partition.algorithm,
            float(given(level.resolution, partition.resolution)),  # type: ignore[arg-type]
            n_iterations=int(given(level.n_iterations, partition.n_iterations)),  # type: ignore[call-overload]
            seed=int(given(level.seed, partition.seed)),  # type: ignore[call-overload]
            use_weights=partition.use_weights,
            ensemble=partition.ensemble if level.ensemble is None else level.ensemble,
        ),
        NeighborsSpec(
            int(given(level.n_neighbors, neighbors.n_neighbors)),  # type: ignore[call-overload]
            str(given(level.metric, neighbors.metric)),
            EmbeddingChoice(use_rep, n_pcs) if own is None else EmbeddingChoice(use_rep, own=own),
        ),
    )
