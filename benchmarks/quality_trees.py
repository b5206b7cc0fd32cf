"""Whole trees with several seeds: how far levels are found again, and how they agree with known labels.

Trees are grown as `benchmarks/bare_loop.py` does, with the same kernels and seeds as a run's; the ancestor's way as
`benchmarks/ancestor.py` does, in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cluster_neighbors import ClusterNeighbors
from benchmarks.quality_kept import Kept, Labels, Timed
from benchmarks.quality_partitions import Row, agreements
from cellstrata.tasks.elements.reading import obs_columns, open_anndata, read_obs_column, read_obsm
from cellstrata.tasks.kernels.connectivities import connectivities
from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.ensemble import SCHEME
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.partition import partition
from cellstrata.tasks.stores.places import Place

NEIGHBORS, DEPTH, REP = 15, 3, "X_pca"
ANCESTOR = "ancestor's way"
Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """A file, and the labels that are kept of it."""

    name: str
    path: str
    kept: Kept

    @cached_property
    def embedding(self) -> Embedding:
        """(n, d) float32."""
        with open_anndata(Place(self.path)) as root:
            return np.asarray(read_obsm(root, REP), np.float32)

    @cached_property
    def neighbors(self) -> ClusterNeighbors:
        """Those of all cells and of clusters."""
        return ClusterNeighbors(self.embedding, NEIGHBORS)

    @cached_property
    def graph(self) -> Graph:
        """That of all cells."""
        return connectivities(self.neighbors.whole())

    def known(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return those columns of obs that the file has, (n,) object, None where a cell has no label."""
        with open_anndata(Place(self.path)) as root:
            there = [name for name in names if name in obs_columns(root)]
            columns = {name: read_obs_column(root, name).astype(object) for name in there}
        return {name: np.where(column.isna(), None, column.astype(str)) for name, column in columns.items()}

    def tree(self, resolution: float, ensemble: int | str, seed: int) -> Timed:
        """Return the labels of each level, (levels, n) int32."""
        spec = PartitionSpec("leiden", resolution, n_iterations=2, seed=seed, ensemble=ensemble)  # type: ignore[arg-type]
        scheme = "" if ensemble == 1 else f"scheme {SCHEME} "
        name = f"{self.name} {resolution} tree by {STAND_IN} {scheme}{ensemble} seed {seed}"
        return self.kept.get(name, lambda: _grown(self.graph, self.neighbors, spec))

    def ancestor(self, resolution: float, seed: int) -> Timed:
        """Return what the ancestor's way makes of it, in the same form."""
        name = f"{self.name} {resolution} ancestor seed {seed}"
        return self.kept.get(name, lambda: _ancestor(self._neighbors, resolution, seed))

    @cached_property
    def _neighbors(self) -> Any:
        import anndata
        import pandas as pd
        import scanpy as sc

        cells = pd.DataFrame(index=[str(i) for i in range(len(self.embedding))])
        adata = anndata.AnnData(obs=cells, obsm={REP: self.embedding})
        sc.pp.neighbors(adata, n_neighbors=NEIGHBORS, use_rep=REP)
        return adata


def _grown(graph: Graph, neighbors: ClusterNeighbors, spec: PartitionSpec) -> Labels:
    engine = load_engine(STAND_IN)
    levels = [partition(graph, spec, engine).labels]
    while len(levels) < DEPTH:
        below, taken = np.zeros(graph.n_vertices, np.int32), 0
        for number in range(levels[-1].max() + 1):
            rows = np.flatnonzero(levels[-1] == number)
            found = np.zeros(len(rows), np.int32)
            if len(rows) >= 2 * NEIGHBORS:
                own = connectivities(neighbors.of(rows))
                found = partition(own, spec, engine).labels
            below[rows] = found + taken
            taken += int(found.max()) + 1
        levels.append(below)
    return np.stack(levels)


def _ancestor(adata: Any, resolution: float, seed: int) -> Labels:
    import pandas as pd
    import scanpy as sc

    from benchmarks.ancestor import LEIDEN, cluster

    sc.tl.leiden(adata, resolution=resolution, key_added="found", random_state=seed, **LEIDEN)
    levels = [adata.obs["found"].astype(str)]
    while len(levels) < DEPTH:
        adata.obs["above"] = levels[-1].to_numpy()
        parts = [cluster(adata, parent, resolution, NEIGHBORS, REP, seed) for parent in levels[-1].unique()]
        levels.append(pd.concat(parts).loc[adata.obs_names])
    return np.stack([labels.astype("category").cat.codes.to_numpy() for labels in levels])


def rows(
    data: Data,
    resolutions: Sequence[float],
    ensembles: Sequence[int | str],
    seeds: int,
    known: Sequence[str],
    with_ancestor: bool,
) -> Iterator[Row]:
    """Yield rows of each way: of each resolution, and of each known column over all resolutions."""
    truth = data.known(known)
    ways: dict[str, Callable[[float, int], Timed]] = {
        "single" if size == 1 else f"ensemble {size}": lambda resolution, seed, size=size: data.tree(  # type: ignore[misc]
            resolution, size, seed
        )
        for size in ensembles
    }
    if with_ancestor:
        ways[ANCESTOR] = data.ancestor
    for what, way in ways.items():
        trees = {resolution: [way(resolution, seed) for seed in range(seeds)] for resolution in resolutions}
        for resolution, found in trees.items():
            yield {
                "data": data.name,
                "resolution": resolution,
                "what": what,
                "levels": [agreements([one.labels[level] for one in found]) for level in range(DEPTH)],
                "quality": [round(data.graph.modularity(one.labels[0], resolution), 5) for one in found],
                "modularity": [round(data.graph.modularity(one.labels[0]), 5) for one in found],
                "cpu": round(float(np.mean([one.cpu for one in found])), 2),
            }
        for name, labels in truth.items():
            best = [_best({r: found[seed].labels for r, found in trees.items()}, labels) for seed in range(seeds)]
            yield {
                "data": data.name,
                "known": name,
                "what": what,
                "best_nmi": [one[0] for one in best],
                "its_ari": [one[1] for one in best],
                "best_ari": [one[2] for one in best],
                "column": [one[3] for one in best],
            }


def _best(trees: dict[float, Labels], known: npt.NDArray[Any]) -> tuple[float, float, float, str]:
    """Return the highest NMI that any column has with known labels, its ARI, the highest ARI, and the column."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    there = np.array([label is not None for label in known])
    true = known[there].astype(str)
    found = {
        f"leiden_{resolution}_{level + 1}": labels[there]
        for resolution, levels in trees.items()
        for level, labels in enumerate(levels)
    }
    nmi = {column: float(normalized_mutual_info_score(true, labels)) for column, labels in found.items()}
    ari = {column: float(adjusted_rand_score(true, labels)) for column, labels in found.items()}
    column = max(nmi, key=lambda column: nmi[column])
    return round(nmi[column], 4), round(ari[column], 4), round(max(ari.values()), 4), column
