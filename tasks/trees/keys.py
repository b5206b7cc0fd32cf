"""The keys of graphs and splits: what they depend on, and nothing else."""

from __future__ import annotations

from cellstrata.tasks.kernels import ensemble, neighbor_lists
from cellstrata.tasks.kernels.engines import STAND_IN, Engine, PartitionSpec, engine_version, load_engine
from cellstrata.tasks.kernels.knn import effective_neighbors, method_for
from cellstrata.tasks.stores.digest import digest_values

SCHEME = 1  # raise it when the meaning of a graph or a split changes


def graph_key(
    cells_digest: str,
    n_cells: int,
    n_neighbors: int,
    metric: str,
    method: str | None = None,
    lists: str | None = None,
    rows: str | None = None,
) -> str:
    """Key of the connectivities built from these rows of an embedding; `method` is a GPU's search, None for ours.

    `lists` is the key of the neighbour lists of all cells from which those of these are taken, None where they are
    searched for on their own: then the key says nothing of other cells. `rows` is the digest of the cells' numbers
    among all, None for all: of equal cells the lists have those with low numbers.
    """
    taken = {"lists": [lists, rows, neighbor_lists.SCHEME]} if lists else {}
    return digest_values(
        kind="graph",
        scheme=SCHEME,
        cells=cells_digest,
        n_neighbors=effective_neighbors(n_neighbors, n_cells),
        metric=metric,
        method=method or method_for(n_cells),
        **taken,
    )


def lists_key(cells_digest: str, n_cells: int, length: int, metric: str) -> str:
    """Key of the lists of `length` neighbours of all cells of an embedding."""
    return digest_values(
        kind="neighbor lists",
        scheme=SCHEME,
        cells=cells_digest,
        length=length,
        metric=metric,
        method=method_for(n_cells),
    )


def stored_graph_key(n_cells: int, edges_digest: str, weights_digest: str) -> str:
    """Key of connectivities that an input holds."""
    return digest_values(
        kind="stored graph", scheme=SCHEME, n_cells=n_cells, edges=edges_digest, weights=weights_digest
    )


def split_key(graph: str, spec: PartitionSpec, engine: Engine, max_cluster_factor: int = 0) -> str:
    """Key of a split: the graph, the parameters of the partition, the engine that is asked, and its version.

    What a GPU is asked for has the CPU's version and the guard's threshold in its key too, since the CPU
    may have to answer. That answer is kept under this key, with the reason: a host without a GPU asks by
    another key and never meets it, and one with a GPU does not fail again at every run.

    A single run's key says nothing of ensembles. That of an ensemble says what joins its runs, too.
    """
    watched = engine.device == "gpu"
    guard = {"guard": [max_cluster_factor, engine_version(load_engine(STAND_IN))]} if watched else {}
    joined = {}
    if spec.joins_runs:
        joined = {"ensemble": [spec.ensemble, ensemble.SCHEME, engine_version(load_engine(ensemble.JOINED_BY))]}
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
        **guard,
        **joined,
    )


def knn_key(graph: str) -> str:
    """Return the key of the neighbours from which a graph was made."""
    return digest_values(kind="knn", graph=graph)
