"""Nearest neighbours on a GPU: cuVS compares every cell with every other, all else is as on the CPU.

What it finds are candidates: their distances are computed again from the coordinates and ranked as
`kernels.knn` does, the cell itself first, so that connectivities have one definition. Not yet run on a GPU.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.faiss_search import Floats, Rows, Search
from cellstrata.tasks.kernels.gpu import device_turn, first_line, free_memory, gpu_status, is_out_of_memory
from cellstrata.tasks.kernels.knn import METRICS, Neighbors, nearest_neighbors

SAMPLED = 32  # cells whose neighbours are compared with the true ones
RECALL = 0.9  # of them, at least; an exact search finds all
log = logging.getLogger("cellstrata.gpu")


class _Wrong(Exception):
    """What the GPU found cannot be used."""


def neighbors_by(method: str | None, embedding: Floats, n_neighbors: int, metric: str, threads: int = 1) -> Neighbors:
    """Find nearest neighbours by a GPU's `method`, or on the CPU where it is None; see `nearest_neighbors`.

    Where the GPU fails, or finds the wrong ones, the CPU does it, and the method of what is returned says
    so, after its own name.
    """
    named = METRICS[METRICS.index(metric)]
    if method is None:
        return nearest_neighbors(embedding, n_neighbors, named, threads)
    try:
        if gpu_status().knn != method:
            raise _Wrong(f"this process has {gpu_status().knn or 'no GPU search'}, and {method} is planned")
        found = nearest_neighbors(embedding, n_neighbors, named, threads, _brute_force)
        if (recall := _recall(embedding, found, metric)) < RECALL:
            raise _Wrong(f"it found {recall:.0%} of the neighbours of {SAMPLED} cells")
        return replace(found, method=method)
    except Exception as error:
        reason = str(error) if isinstance(error, _Wrong) else first_line(error)
        if is_out_of_memory(error):
            reason = f"the GPU is out of memory ({reason})"
    free_memory()
    log.warning("%s: the CPU finds the neighbors of %d cells, since %s", method, len(embedding), reason)
    found = nearest_neighbors(embedding, n_neighbors, named, threads)
    return replace(found, method=f"{found.method} instead of {method}: {reason}")


def _brute_force(points: Floats, k: int, threads: int) -> tuple[Rows, Search]:
    """Return all rows, and a function from rows to their (m, k) candidates, compared with every cell."""
    with IMPORTING:
        cupy, cuvs = importlib.import_module("cupy"), importlib.import_module("cuvs.neighbors.brute_force")
    with device_turn():
        index = cuvs.build(cupy.asarray(points), metric="sqeuclidean")

    def search(rows: Rows) -> npt.NDArray[np.int64]:
        with device_turn():
            _, found = cuvs.search(index, cupy.asarray(points[rows]), k)
            candidates: npt.NDArray[np.int64] = cupy.asnumpy(cupy.asarray(found)).astype(np.int64)
        if candidates.shape != (len(rows), k) or candidates.min() < 0 or candidates.max() >= len(points):
            raise _Wrong("it returned numbers of cells that do not exist")
        return candidates

    return np.arange(len(points)), search


def _recall(embedding: Floats, found: Neighbors, metric: str) -> float:
    """Return the share of true neighbours among those found, of a few cells, ties counted as found."""
    n, k = found.indices.shape
    if k < 2:
        return 1.0
    points: Any = embedding.astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(points, axis=1, keepdims=True)
        points = points / np.where(norms == 0, 1, norms)
    hits = []
    for cell in np.unique(np.linspace(0, n - 1, SAMPLED).astype(int)):
        cosine = metric == "cosine"
        distances = 1 - points @ points[cell] if cosine else np.linalg.norm(points - points[cell], axis=1)
        distances[cell] = 0
        furthest = np.partition(distances, k - 1)[k - 1]
        hits.append((distances[found.indices[cell]] <= furthest * (1 + 1e-4) + 1e-6).mean())
    return float(np.mean(hits))
