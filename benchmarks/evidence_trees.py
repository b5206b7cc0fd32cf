"""Trees that are grown in this process, with all evidence: what `python -m benchmarks.evidence` measures."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cellstrata.configs.evidence import AUTO, EvidenceConfig, StopRules
from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.engines import PartitionSpec
from cellstrata.tasks.kernels.gpu import NOT_LOOKED
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees.placement import Placement
from cellstrata.tasks.trees.plan import EmbeddingChoice, NeighborsSpec, TreePlan
from cellstrata.tasks.trees.root_graph import compute_neighbors
from cellstrata.tasks.trees.split import first_nodes, split
from cellstrata.tasks.trees.split_evidence import judge_whole
from cellstrata.tasks.trees.tree import Tree

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How trees are grown."""

    resolution: float
    hierarchy: int | str = "until_stable"
    stop: StopRules = AUTO
    draws: EvidenceConfig | None = None
    ensemble: int | str = "auto"
    seed: int = 0
    n_neighbors: int = 15


def grown(points: Floats, asked: Asked, folder: str | None = None) -> Tree:
    """Grow the tree of an embedding, (n, d) float32; a `folder` keeps the cache for the next of the same."""
    if folder is None:
        with tempfile.TemporaryDirectory() as own:
            return grown(points, asked, own)
    cache = cache_in(folder)
    plan = planned(points, asked, cache)
    tree = Tree(plan)
    waiting = [opened for node in first_nodes(tree) if (opened := tree.open(node))]
    while waiting:
        pending = waiting.pop()
        found = split(plan, pending, cache)
        judged, _ = judge_whole(plan, pending, found, cache)
        labels = found.labels(cache)
        children = tree.close(pending, found.key, found.facts, labels, executed=found.computed, judged=judged)
        waiting += [opened for child in children if (opened := tree.open(child))]
    return tree.ended()


def cache_in(folder: str) -> Cache:
    """Open the cache that a benchmark keeps in a folder."""
    return Cache(Store.at(str(Path(folder) / "cache"), {}))


def planned(points: Floats, asked: Asked, cache: Cache) -> TreePlan:
    """Return the plan of a tree of an embedding, (n, d) float32, and have its graph in the cache."""
    choice = EmbeddingChoice("X_pca")
    embedding = cache.put(np.ascontiguousarray(points, dtype=np.float32))
    root = compute_neighbors(cache, embedding, asked.n_neighbors, "euclidean", 1)
    spec = PartitionSpec("leiden", asked.resolution, seed=asked.seed, ensemble=asked.ensemble)  # type: ignore[arg-type]
    return TreePlan(
        algorithm="leiden",
        resolution=asked.resolution,
        placement=Placement("cpu", 0, 50, 0.0, NOT_LOOKED),
        partition=spec,
        neighbors=NeighborsSpec(asked.n_neighbors, "euclidean", choice),
        min_cells=0,
        hierarchy=Hierarchy.parse(asked.hierarchy),
        n_cells=len(points),
        embeddings={choice: embedding},
        root_graph=root.key,
        root_graph_stored=False,
        evidence=asked.draws,
        stop=asked.stop,
    )


def levels(tree: Tree) -> Mapping[int, npt.NDArray[np.int32]]:
    """Return the labels of each level as numbers, each (n,) int32."""
    found = {}
    for level in tree.levels:
        paths = {path: number for number, path in enumerate(dict.fromkeys(leaf[:level] for leaf in tree.leaves))}
        found[level] = np.array([paths[leaf[:level]] for leaf in tree.leaves], np.int32)[tree.codes]
    return found
