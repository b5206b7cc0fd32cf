"""Sweeps over resolutions of real and planted data, with what other ways of choosing say of each resolution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.evidence_clouds import plant
from benchmarks.evidence_trees import Asked, cache_in, planned
from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.tasks.advice.resolution_facts import ResolutionFacts, resolution_facts, sweep_plan
from cellstrata.tasks.advice.sweep import next_resolutions
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index
from cellstrata.tasks.trees.split import root_node, split
from cellstrata.tasks.trees.split_evidence import judge_whole
from cellstrata.tasks.trees.tree import Tree

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
Texts = npt.NDArray[np.str_]
BOOTSTRAPS, SHARE = 5, 0.8  # samples of the cells, without replacement, and how much each has of them
SAMPLE = 5_000  # cells, for the silhouette


@dataclass(frozen=True)
class Sweep:
    """What came of a sweep: facts and labels by resolution, and two other measures of each partition."""

    facts: tuple[ResolutionFacts, ...]
    labels: Mapping[float, Labels]
    bootstrap: Mapping[float, float]
    silhouette: Mapping[float, float]


def swept(points: Floats, folder: str, draws: EvidenceConfig, ensemble: int | str = "auto") -> Sweep:
    """Sweep over the resolutions of an embedding, (n, d) float32."""
    cache = cache_in(folder)
    base = planned(points, Asked(resolution=1.0, ensemble=ensemble), cache)
    clusters: dict[float, int] = {}
    labels: dict[float, Labels] = {}
    plans = []
    while wanted := next_resolutions(clusters):
        for resolution in wanted:
            own = replace(base, resolution=resolution, partition=replace(base.partition, resolution=resolution))
            plan = sweep_plan(own, draws)
            pending = Tree(plan).open(root_node(plan))
            assert pending is not None
            found = split(plan, pending, cache)
            judge_whole(plan, pending, found, cache)
            plans.append(plan)
            labels[resolution] = found.labels(cache)
            clusters[resolution] = len(found.facts.sizes)
    facts = resolution_facts(plans, cache)
    assert facts is not None
    several = {resolution: of for resolution, of in labels.items() if of.max()}
    kept = Path(folder) / "measures.json"
    if not kept.exists():
        kept.write_text(json.dumps([_bootstraps(points, several), _silhouettes(points, several)]))
    bootstrap, silhouette = (
        {float(name): value for name, value in one.items()} for one in json.loads(kept.read_text())
    )
    return Sweep(facts, labels, bootstrap, silhouette)


def _bootstraps(points: Floats, labels: Mapping[float, Labels]) -> dict[float, float]:
    """The mean adjusted Rand index between a partition and those of samples of the cells, single runs."""
    found: dict[float, list[float]] = {resolution: [] for resolution in labels}
    for number in range(BOOTSTRAPS):
        rows = np.sort(np.random.default_rng(number).permutation(len(points))[: int(SHARE * len(points))])
        graph = connectivities(nearest_neighbors(np.ascontiguousarray(points[rows]), 15))
        for resolution, whole in labels.items():
            own = partition(graph, PartitionSpec("leiden", resolution, seed=number), load_engine(STAND_IN)).labels
            found[resolution].append(adjusted_rand_index(own, whole[rows]))
    return {resolution: float(np.mean(each)) for resolution, each in found.items()}


def _silhouettes(points: Floats, labels: Mapping[float, Labels]) -> dict[float, float]:
    from sklearn.metrics import silhouette_score

    rows = np.random.default_rng(0).permutation(len(points))[:SAMPLE]
    return {
        resolution: float(silhouette_score(points[rows], of[rows])) if len(np.unique(of[rows])) > 1 else -1.0
        for resolution, of in labels.items()
    }


def real(path: str, known: Sequence[str]) -> tuple[Floats, dict[str, Texts]]:
    """Read an embedding and the known labels of a file; cells without a label have an empty one."""
    import anndata

    data = anndata.read_h5ad(path, backed="r")
    found = {}
    for name in known:
        if name in data.obs:
            values = data.obs[name].astype(object)
            found[name] = np.where(values.isna(), "", values.astype(str)).astype(str)
    return np.asarray(data.obsm["X_pca"], np.float32), found


def planted_data(seed: int, separation: float, most_cells: int) -> tuple[Floats, dict[str, Texts]]:
    """Plant a tree, and name the group of each cell at each of its levels."""
    made = plant(seed, separation, most_cells=most_cells)
    names = {
        f"level {level}": np.array(["_".join(map(str, leaf[:level])) for leaf in made.leaves])[made.codes]
        for level in range(1, max(map(len, made.leaves)) + 1)
    }
    return made.points, names
