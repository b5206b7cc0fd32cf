"""The keys of graphs and splits: what they depend on, and nothing else."""

from __future__ import annotations

from tasks.digest import digest_values
from tasks.engines import Engine, PartitionSpec, engine_version
from tasks.knn import method_for

SCHEME = 1  # raise it when the meaning of a graph or a split changes


def graph_key(cells_digest: str, n_cells: int, n_neighbors: int, metric: str) -> str:
    """Key of the connectivities built from these rows of an embedding."""
    return digest_values(
        kind="graph",
        scheme=SCHEME,
        cells=cells_digest,
        n_neighbors=min(n_neighbors, n_cells),
        metric=metric,
        method=method_for(n_cells),
    )


def stored_graph_key(n_cells: int, edges_digest: str, weights_digest: str) -> str:
    """Key of connectivities that an input holds."""
    return digest_values(
        kind="stored graph", scheme=SCHEME, n_cells=n_cells, edges=edges_digest, weights=weights_digest
    )


def split_key(graph: str, spec: PartitionSpec, engine: Engine) -> str:
    """Key of a split: the graph, the parameters of the partition, the engine and its version."""
    return digest_values(
        kind="split",
        scheme=SCHEME,
        graph=graph,
        algorithm=spec.algorithm,
        resolution=float(spec.resolution),
        n_iterations=spec.n_iterations if spec.algorithm == "leiden" else None,
        seed=spec.seed,
        use_weights=spec.use_weights,
        engine=engine.name,
        engine_version=engine_version(engine),
    )
