"""What is to be computed before level 1 is split: the PCA of X, and the graph.

The flow, the command `cluster`, the head start and the forecast all ask here, and so get the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.configs.model import RunConfig
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.inputs.inspection import Input, wanted_neighbors
from cellstrata.tasks.inputs.pca import compute_pca, find_pca
from cellstrata.tasks.inputs.plans import root_neighbors
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.trees.neighbor_lists import NeighborLists, lists_of
from cellstrata.tasks.trees.placement import Placement, placement_of
from cellstrata.tasks.trees.plan import EmbeddingChoice
from cellstrata.tasks.trees.root_graph import RootGraph, find_neighbors, root_graph_key

Embeddings = Mapping[EmbeddingChoice, ArrayRef]


@dataclass(frozen=True, kw_only=True)
class PcaRequest:
    """A PCA of an input's X, as `choice.n_pcs` says, None for scanpy's default."""

    choice: EmbeddingChoice
    source: Opened = field(repr=False)
    rehash: bool


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """A graph of a whole embedding; `method` is a GPU's search, None for that of the CPU."""

    embedding: ArrayRef
    n_neighbors: int
    metric: str
    method: str | None

    @property
    def key(self) -> str:
        """Its key in the cache."""
        return root_graph_key(self.embedding, self.n_neighbors, self.metric, self.method)

    def arguments(
        self, cache: Cache, threads: int = 1, refresh: bool = False
    ) -> tuple[Cache, ArrayRef, int, str, int, bool, str | None]:
        """Return it as `compute_neighbors` takes it; the owner of a GPU looks at these."""
        return cache, self.embedding, self.n_neighbors, self.metric, threads, refresh, self.method

    def find(self, cache: Cache) -> RootGraph | None:
        """Return what `compute_neighbors` would, if the cache has it."""
        return find_neighbors(cache, self.embedding, self.n_neighbors, self.metric, self.method)


@dataclass(frozen=True, kw_only=True)
class Level1:
    """What level 1 of an input is split on: a stored graph, or one of an embedding, which may be yet to be computed."""

    source: Input
    settings: ClusteringConfig
    placement: Placement
    rehash: bool

    @classmethod
    def of(cls, config: RunConfig, source: Input, gpu: GpuStatus | None = None) -> Level1:
        """Take it from a run's configuration; `gpu` is what the workers have, by default this process.

        Raises
        ------
        EngineUnavailable
            If a GPU is required and there is none, or the engine that is asked for is not installed.
        """
        settings = config.DATASETS[source.dataset].clustering
        return cls(
            source=source,
            settings=settings,
            placement=placement_of(settings, config.gpu_for(source.dataset), gpu),
            rehash=config.rehash,
        )

    @property
    def embeddings(self) -> dict[EmbeddingChoice, ArrayRef]:
        """The embeddings that were staged on inspection."""
        return {choice: ref for choice, ref in self.source.embeddings.items() if ref is not None}

    @property
    def pcas(self) -> list[PcaRequest]:
        """The embeddings that are to be computed."""
        return [
            PcaRequest(choice=choice, source=self.source.opened, rehash=self.rehash)
            for choice, ref in self.source.embeddings.items()
            if ref is None
        ]  # fmt: skip

    def graph(self, embeddings: Embeddings) -> GraphRequest | None:
        """The graph that is to be computed, None where its embedding is yet to be; not for a stored graph."""
        spec = root_neighbors(self.settings, self.source.neighbors)
        embedding = embeddings.get(spec.embedding)
        if embedding is None:
            return None
        method = self.placement.knn_method(self.source.n_cells)
        return GraphRequest(embedding=embedding, n_neighbors=spec.n_neighbors, metric=spec.metric, method=method)

    def lists(self, embeddings: Embeddings) -> list[NeighborLists]:
        """The neighbour lists of all cells from which those of clusters below level 1 may be taken."""
        method = self.placement.knn_method(self.source.n_cells)
        specs = wanted_neighbors(self.settings, self.source.neighbors, root=False, umap=False)
        # What clusters derive is not among them.
        known = [(embeddings[spec.embedding], spec) for spec in specs if spec.embedding in embeddings]
        found = (lists_of(ref, spec.n_neighbors, spec.metric, method) for ref, spec in known)
        return list(dict.fromkeys(lists for lists in found if lists is not None))


def pca_of(request: PcaRequest, cache: Cache, refresh: bool = False) -> ArrayRef:
    """Find or compute a PCA; returns the address of its (n, components) float32 array. Raises InputError."""
    return compute_pca(request.source, cache, request.choice.n_pcs, refresh=refresh, rehash=request.rehash)


def known_pca(request: PcaRequest, cache: Cache) -> ArrayRef | None:
    """Return what `pca_of` would, if the cache has it; X may be read to know. Raises InputError."""
    return find_pca(request.source, cache, request.choice.n_pcs, rehash=request.rehash)
