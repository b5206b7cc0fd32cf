"""The UMAP of a graph by scanpy, from the graph at hand. Runs in a process of its own."""

from __future__ import annotations

import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np

from tasks.cache import ArrayRef, Cache
from tasks.digest import digest_values
from tasks.neighbors import connectivities_matrix


def find_umap(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int
) -> dict[str, Any] | None:
    """Return what `compute_umap` would, if the cache has it."""
    record = cache.find(_key(graph, embedding, seed), "umap")
    return record.body if record is not None else None


def compute_umap(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int
) -> dict[str, Any]:
    """Compute the UMAP of a graph, seeded, with scanpy's defaults.

    Returns `arrays: {"umap": …}`, the address of the (n, 2) float32 array, `n_cells` and `seconds`.
    """
    started = time.perf_counter()
    values = _umap(cache, graph, embedding, metric, n_neighbors, seed)
    seconds = round(time.perf_counter() - started, 4)
    body = {"arrays": {"umap": cache.put(values).to_json()}, "n_cells": embedding.shape[0], "seconds": seconds}
    return cache.write_record("umap", _key(graph, embedding, seed), body).body


def _key(graph: str, embedding: ArrayRef, seed: int) -> str:
    versions = {name: version(name) for name in ("scanpy", "umap-learn")}
    return digest_values(kind="umap", graph=graph, embedding=embedding.digest, seed=seed, versions=versions)


def _umap(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    n = embedding.shape[0]
    if n < 4:  # a spectral start needs more vertices than dimensions
        return np.zeros((n, 2), np.float32)
    import anndata
    import scanpy

    adata = anndata.AnnData(obsm={"X_used": cache.get(embedding).copy()}, shape=(n, 0))
    adata.obsp["connectivities"] = connectivities_matrix(cache, graph)
    params = {"method": "umap", "metric": metric, "n_neighbors": n_neighbors, "use_rep": "X_used"}
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "none",
        "params": params,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of umap-learn that the user cannot follow
        scanpy.tl.umap(adata, random_state=seed, init_pos="spectral" if n > 15 else "random")
    return np.ascontiguousarray(adata.obsm["X_umap"], dtype=np.float32)
