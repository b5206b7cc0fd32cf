"""Small data, a cache in a folder, and a driver that grows a tree as the flow does, without Prefect."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.configs.hierarchy import Hierarchy, LevelParameters
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import Algorithm, PartitionSpec
from cellstrata.tasks.kernels.graph import Graph, from_adjacency
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees.graphs import write_graph
from cellstrata.tasks.trees.jobs import Job, bundle_key, run_job
from cellstrata.tasks.trees.keys import stored_graph_key
from cellstrata.tasks.trees.labels import level_column
from cellstrata.tasks.trees.placement import Placement
from cellstrata.tasks.trees.plan import EmbeddingChoice, NeighborsSpec, TreePlan, lay_over
from cellstrata.tasks.trees.root_graph import compute_neighbors
from cellstrata.tasks.trees.split import node_key, root_node, split
from cellstrata.tasks.trees.tree import Pending, Tree

Floats = npt.NDArray[np.float32]
BASE = "X_pca"


def cache_at(folder: Path | str) -> Cache:
    """Open a cache."""
    return Cache(Store.at(str(folder)))


def blobs(sizes: list[int], d: int = 5, spread: float = 20, seed: int = 0) -> tuple[Floats, npt.NDArray[Any]]:
    """Return normal clouds far from one another, cells in mixed order, and the cloud of each cell."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (rng.normal(size=(len(sizes), d)) * spread)[of].astype(np.float32) + rng.normal(size=(len(of), d)).astype(
        np.float32
    ), of


def nested(seed: int = 0) -> tuple[Floats, npt.NDArray[Any]]:
    """Return 3 clouds of 2, 2 and 3 smaller ones, 20 to 32 cells each, and the small cloud of each cell."""
    rng = np.random.default_rng(seed)
    centres, of = [], []
    for cloud, parts in enumerate([2, 2, 3]):
        for part in range(parts):
            centres.append([400.0 * cloud, 12.0 * (part == 1), 12.0 * (part == 2)])
            of += [len(centres) - 1] * (20 + 2 * len(centres) - 2)
    order = rng.permutation(len(of))
    chosen = np.array(of)[order]
    cells = np.array(centres)[chosen] + rng.normal(size=(len(of), 3))
    return cells.astype(np.float32), chosen


def coarse(of: npt.NDArray[Any]) -> Graph:
    """Return a graph in which each of the 3 large clouds of `nested` is complete."""
    large = np.searchsorted([2, 4], of, side="right")
    return from_adjacency((large[:, None] == large[None, :]).astype(np.float32))[0]


def graph_of(cells: Floats, k: int = 10) -> Graph:
    """Return the connectivities of some cells."""
    return connectivities(nearest_neighbors(cells, k))


def pbmc() -> Any:
    """Return the 700 cells that come with scanpy, without importing it."""
    import anndata as ad

    spec = importlib.util.find_spec("scanpy")
    assert spec is not None
    assert spec.origin is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is an old file
        return ad.read_h5ad(Path(spec.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad")


def same_partition(a: npt.ArrayLike, b: npt.ArrayLike) -> bool:
    """Tell whether two labellings are the same up to their names."""
    pairs = set(zip(np.asarray(a).tolist(), np.asarray(b).tolist(), strict=True))
    return len({x for x, _ in pairs}) == len(pairs) == len({y for _, y in pairs})


def plan_for(
    cache: Cache,
    cells: Floats,
    hierarchy: Any = 1,
    *,
    algorithm: Algorithm = "leiden",
    resolution: float = 0.5,
    n_neighbors: int = 10,
    metric: str = "euclidean",
    min_cells: int = 0,
    seed: int = 0,
    engine: str = "cellstrata",
    others: Mapping[str, Floats] | None = None,
    stored: Graph | None = None,
    placement: Placement | None = None,
    resolutions: tuple[float, ...] = (),
) -> TreePlan:
    """Plan a tree over cells; `others` are further embeddings, `stored` a graph that came with the input."""
    place = placement or placed(engine)
    base = NeighborsSpec(n_neighbors, metric, EmbeddingChoice(BASE))
    found = {BASE: cells, **(others or {})}
    embeddings = {EmbeddingChoice(name): cache.put(values) for name, values in found.items()}
    partition, asked = PartitionSpec(algorithm, resolution, n_iterations=2, seed=seed), Hierarchy.parse(hierarchy)
    if stored is None:
        root = lay_over(partition, base, asked.parameters(()) or LevelParameters()).neighbors
        method, embedding = place.knn_method(len(cells)), embeddings[root.embedding]
        graph = compute_neighbors(cache, embedding, root.n_neighbors, root.metric, 1, method=method).key
    else:
        graph = store_graph(cache, stored)
    return TreePlan(
        algorithm=algorithm, resolution=resolution, placement=place, partition=partition, neighbors=base,
        min_cells=min_cells, hierarchy=asked, n_cells=len(cells), embeddings=embeddings, root_graph=graph,
        root_graph_stored=stored is not None, resolutions=resolutions,
    )  # fmt: skip


def placed(engine: str | None = None) -> Placement:
    """Return a placement on the CPU."""
    return Placement("cpu", 0, 50, 0.0, engine=engine)


def store_graph(cache: Cache, graph: Graph) -> str:
    """Put a graph in the cache as one that came with an input, and return its key."""
    key = stored_graph_key(graph.n_vertices, cache.put(graph.edges).digest, cache.put(graph.weights).digest)
    write_graph(cache, key, graph, "stored")
    return key


@dataclass
class Grown:
    """A grown tree, the splits that were computed, and what was asked for on the way."""

    tree: Tree
    executed: list[str] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    jobs: int = 0

    def column(self, level: int) -> Any:
        """Return the labels of a level as a categorical."""
        return level_column(self.tree.codes, self.tree.leaves, level)

    def labels(self) -> list[list[str]]:
        """Return the labels of all levels."""
        return [list(self.column(level)) for level in range(1, self.tree.plan.depth + 1)]

    def rows(self, path: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Return the cells of a cluster."""
        inside = [leaf[: len(path)] == path for leaf in self.tree.leaves]
        return np.flatnonzero(np.array(inside)[self.tree.codes])

    def keys(self) -> dict[tuple[int, ...], str | None]:
        """Return the key of each cluster's split."""
        return {path: outcome.key for path, outcome in self.tree.outcomes.items()}


def grow(plan: TreePlan, cache: Cache, grain: int = 0, refresh: bool = False) -> Grown:
    """Grow a tree as the flow's driver does: clusters below `grain` in one job with all that is below."""
    grown = Grown(Tree(plan))
    first = grown.tree.open(root_node(plan))
    waiting: list[tuple[Pending, ...]] = [(first,)] if first else []
    while waiting:
        nodes = waiting.pop()
        recurse = bool(nodes[0].path) and nodes[0].n_cells < grain
        key = bundle_key(plan, nodes, cache) if recurse else node_key(plan, nodes[0], cache)
        report = run_job(Job(key=key, plan=plan, nodes=nodes, cache=cache, recurse=recurse, refresh=refresh))
        assert report.key == key
        grown.jobs += 1
        grown.executed += report.executed
        inside = list(nodes)
        while inside:
            pending = inside.pop()
            grown.pending.append(pending)
            found = split(plan, pending, cache)
            assert not found.computed
            made = found.key in report.executed
            children = grown.tree.close(pending, found.key, found.facts, found.labels(cache), executed=made)
            opened = [node for child in children if (node := grown.tree.open(child))]
            if recurse:
                inside += opened
            else:
                small = tuple(node for node in opened if node.n_cells < grain)
                waiting += [(node,) for node in opened if node.n_cells >= grain] + ([small] if small else [])
    return grown


def with_seed(plan: TreePlan, seed: int) -> TreePlan:
    """Return the plan with another seed."""
    return replace(plan, partition=replace(plan.partition, seed=seed))


def as_graph(n: int, edges: list[tuple[int, int]], weights: list[float] | None = None) -> Graph:
    """Make a graph from a list of edges."""
    import scipy.sparse as sp

    a, b = np.array(edges).reshape(-1, 2).T
    values = np.ones(len(edges)) if weights is None else np.array(weights)
    return from_adjacency(sp.csr_matrix((np.r_[values, values], (np.r_[a, b], np.r_[b, a])), shape=(n, n)))[0]


GOLDEN_EDGES = [(0, 1), (1, 3), (1, 4), (2, 0), (2, 1), (2, 3), (3, 5), (4, 5)]
GOLDEN_WEIGHTS = [0.1, 2.1, 1.1, 5.1, 3.1, 4.1, 7.2, 3.2]
GOLDEN_LABELS, GOLDEN_MODULARITY = [0, 0, 0, 1, 1, 1], 0.215969


def golden() -> Graph:
    """Return the golden graph: {0,1,2} and {3,4,5}, modularity 0.215969."""
    return as_graph(6, GOLDEN_EDGES, GOLDEN_WEIGHTS)


def karate() -> Graph:
    """Return Zachary's karate club."""
    from cellstrata.tasks.kernels.engine_igraph import igraph

    return as_graph(34, igraph().Graph.Famous("Zachary").get_edgelist())


CELLS = nested()[0]
