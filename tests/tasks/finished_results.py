"""Whole results without Prefect: an input is inspected, its trees grown in this thread, the result published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from cellstrata.configs.model import RunConfig
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.inputs.plans import kept_partition, root_neighbors, tree_plans
from cellstrata.tasks.results.result import Finished, publish_result
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.placement import placement_of
from cellstrata.tasks.trees.root_graph import compute_neighbors
from cellstrata.tasks.trees.split import first_nodes, split
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import cache_at


@dataclass(frozen=True)
class Made:
    """A result, the trees in it, and whether it was written or stood there already."""

    url: str
    trees: list[Tree]
    finished: Finished
    written: bool


def write_input(folder: Path, cells: np.ndarray, name: str = "in.h5ad", **columns: Any) -> str:
    """Write an h5ad with an embedding X_pca, cells named c0, c1, …; return its path."""
    obs = pd.DataFrame(columns, index=pd.Index([f"c{i}" for i in range(len(cells))], dtype=object))
    ad.AnnData(obs=obs, obsm={"X_pca": cells}).write_h5ad(folder / name)
    return str(folder / name)


def make_result(folder: Path, source: str, settings: dict[str, Any], out: str = "out") -> Made:
    """Cluster an input as `run` does, with a cache that all results in `folder` share."""
    clustering = {"algorithm": "leiden", "resolutions": [0.5], **settings}
    datasets = {"d": {"input": {"clustering": {"f": source}}, "clustering": clustering}}
    config = RunConfig(output_dir=str(folder / out), cache=str(folder / "cache"), DATASETS=datasets)
    asked, cache = config.DATASETS["d"].clustering, cache_at(folder / "cache")
    found, problems = inspect_input("d", "f", Place(source), asked, config.output_dir, cache)
    assert found is not None, problems
    embeddings = {choice: ref for choice, ref in found.embeddings.items() if ref is not None}
    graph = found.stored_graph
    if graph is None:
        spec = root_neighbors(asked, found.neighbors)
        method = placement_of(asked, config.gpu_for("d")).knn_method(found.n_cells)
        graph = compute_neighbors(cache, embeddings[spec.embedding], spec.n_neighbors, spec.metric, 1, method).key
    plans = tree_plans(asked, found, embeddings, graph, config.gpu_for("d"))
    trees = [_grown(Tree(plan, kept_partition(plan, found)), cache) for plan in plans]
    finished = Finished.of(found, trees, graph, None, embeddings, config)
    published = publish_result(finished, cache)
    return Made(published.output, trees, finished, published.written)


def _grown(tree: Tree, cache: Cache) -> Tree:
    waiting = list(first_nodes(tree))
    while waiting:
        pending = tree.open(waiting.pop())
        if pending is not None:
            found = split(tree.plan, pending, cache)
            waiting += tree.close(pending, found.key, found.facts, found.labels(cache), executed=found.computed)
    return tree
