"""What is wrong with a partition that a GPU has made: the faults that are known, each exactly detectable.

cuGraph's Leiden at times leaves every vertex alone, or finds hundreds of tiny clusters; older ones lost
vertices. None of it raises an error there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.engines import PartitionSpec
from cellstrata.tasks.kernels.graph import Graph

# cuGraph stops moving vertices when the modularity grows by no more than this.
TOLERANCE = 1e-4
FEW = 10  # cells: a smallest cluster of no more looks like noise


def bad_labels(labels: object, n: int) -> str | None:
    """Say what keeps an engine's answer from being n labels, None if nothing does."""
    found = np.asarray(labels)
    if found.shape != (n,):
        return f"labels are missing: {found.shape[0] if found.ndim else 0} for {n} cells"
    if not np.issubdtype(found.dtype, np.integer):
        return f"the labels are no integers but {found.dtype}"
    if (found < 0).any():
        return f"labels are missing: {int((found < 0).sum())} of {n} cells have none"
    return None


def bad_partition(
    graph: Graph,
    labels: npt.NDArray[np.int32],
    sizes: list[int],
    spec: PartitionSpec,
    max_cluster_factor: int,
) -> str | None:
    """Say what is wrong with a partition, None if nothing is.

    `labels` are numbered by size. Equality with a trivial partition is legitimate, at a low resolution; to
    be worse than one is not. Without weights every edge counts as 1, as for the engine.
    """
    n, k = graph.n_vertices, len(sizes)
    if k == n:
        return f"every cell is a cluster of its own ({n} clusters)"
    most = max(1, int(max_cluster_factor * spec.resolution))
    if k > most and np.quantile(sizes, 0.1) <= n / most and sizes[-1] <= FEW:
        return f"{k} clusters, more than {most} (max_cluster_factor {max_cluster_factor} x {spec.resolution})"
    counted = graph if spec.use_weights else Graph(n, graph.edges, np.ones(len(graph.edges), np.float32))
    own = counted.modularity(labels, spec.resolution)
    for name, trivial in trivial_partitions(graph):
        other = counted.modularity(trivial, spec.resolution)
        if own < other - TOLERANCE:
            return f"modularity {own:.4f}, less than that of {name}, {other:.4f}"
    return None


def trivial_partitions(graph: Graph) -> list[tuple[str, npt.NDArray[np.int32]]]:
    """Return partitions that cost nothing: every cell alone, and the connected components."""
    with IMPORTING:
        from scipy.sparse.csgraph import connected_components

    alone = np.arange(graph.n_vertices, dtype=np.int32)
    _, components = connected_components(graph.to_csr(), directed=False)
    return [("every cell alone", alone), ("the connected components", components.astype(np.int32))]
