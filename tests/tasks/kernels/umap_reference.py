"""umap-learn's fuzzy simplicial sets of neighbours, as a script: `umap_reference.py IN.npz OUT.npz`.

Run in a process of its own with NUMBA_DISABLE_JIT=1: the same code as plain Python, which spares small
data half a minute of compilation.
"""

from __future__ import annotations

import sys

import numpy as np
import umap.umap_ as reference

compiled_like = reference.smooth_knn_dist


def in_double(distances: np.ndarray, *args: float, **more: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute in float64, as the compiled code does."""
    return compiled_like(distances.astype(np.float64), *args, **more)  # type: ignore[no-any-return]


reference.smooth_knn_dist = in_double
given = np.load(sys.argv[1])
found = {}
for name in {key.rsplit("|", 1)[0] for key in given}:
    indices, distances = given[f"{name}|indices"], given[f"{name}|distances"]
    graph, _, _ = reference.fuzzy_simplicial_set(
        np.empty((len(indices), 1)), indices.shape[1], np.random.RandomState(0), "euclidean",
        knn_indices=indices.astype(np.int64), knn_dists=distances,
    )  # fmt: skip
    graph = graph.tocsr()
    graph.sort_indices()
    for part in ("data", "indices", "indptr"):
        found[f"{name}|{part}"] = getattr(graph, part)
np.savez(sys.argv[2], **found)
