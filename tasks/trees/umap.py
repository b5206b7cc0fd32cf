"""The UMAP of a graph, from the graph at hand: by scanpy, or by rapids-singlecell where a GPU does it.

Runs in a process of its own. The GPU's way has not yet run on one.
"""

from __future__ import annotations

import importlib
import logging
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.cache.cache import ArrayRef, Cache, Record
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.gpu import device_turn, first_line, free_memory, gpu_status
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.stores.json_values import JsonObject
from cellstrata.tasks.trees.root_graph import connectivities_matrix

Floats = npt.NDArray[np.float32]
SMALLEST = 4  # cells: a spectral start needs more vertices than dimensions
log = logging.getLogger("cellstrata.gpu")


@dataclass(frozen=True, kw_only=True)
class ComputedUmap:
    """A UMAP in the cache: the address of the (n, 2) float32 coordinates, and the seconds that they took.

    `fallback` says why the CPU drew it where a GPU was asked, else None.
    """

    coordinates: ArrayRef
    n_cells: int
    seconds: float
    fallback: str | None

    def to_json(self) -> dict[str, object]:
        """Return the body of its record."""
        arrays = {"umap": self.coordinates.to_json()}
        return {"arrays": arrays, "n_cells": self.n_cells, "seconds": self.seconds, "fallback": self.fallback}

    @classmethod
    def of(cls, record: Record) -> ComputedUmap:
        """Read a record; an older one tells of no fallback. Raises WrongJson if it is none of a UMAP."""
        said = JsonObject.of(record.body)
        return cls(
            coordinates=record.array("umap"),
            n_cells=said.whole("n_cells"),
            seconds=said.number("seconds"),
            fallback=said.text_or_none("fallback"),
        )


def find_umap(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int, method: str | None = None
) -> ComputedUmap | None:
    """Return what `compute_umap` would, if the cache has it."""
    record = cache.find(_key(graph, embedding, seed, method), "umap")
    return ComputedUmap.of(record) if record is not None else None


def compute_umap(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int, method: str | None = None
) -> ComputedUmap:
    """Compute the UMAP of a graph, seeded, with scanpy's defaults; `method` is a GPU's, None for the CPU."""
    started = time.perf_counter()
    values, fallback = _on_gpu(cache, graph, embedding, metric, n_neighbors, seed, method)
    if values is None:
        values = _umap(cache, graph, embedding, metric, n_neighbors, seed)
    seconds = round(time.perf_counter() - started, 4)
    drawn = ComputedUmap(coordinates=cache.put(values), n_cells=embedding.shape[0], seconds=seconds, fallback=fallback)
    cache.write_record("umap", _key(graph, embedding, seed, method), drawn.to_json())
    return drawn


def _key(graph: str, embedding: ArrayRef, seed: int, method: str | None) -> str:
    versions = {name: version(name) for name in ("scanpy", "umap-learn")}
    gpu = {"method": method} if method else {}
    return digest_values(kind="umap", graph=graph, embedding=embedding.digest, seed=seed, versions=versions, **gpu)


def _on_gpu(
    cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int, method: str | None
) -> tuple[Floats | None, str | None]:
    """Return the GPU's UMAP, or None and why there is none; both are None where none was asked for."""
    if method is None or embedding.shape[0] < SMALLEST:
        return None, None
    try:
        if gpu_status().umap != method:
            raise RuntimeError(f"this process has {gpu_status().umap or 'no GPU UMAP'}, and {method} is planned")
        adata = _with_graph(cache, graph, embedding, metric, n_neighbors)
        with IMPORTING:
            rapids = importlib.import_module("rapids_singlecell")
        with device_turn():
            rapids.tl.umap(adata, random_state=seed, init_pos=_start(embedding))
        values = np.ascontiguousarray(adata.obsm["X_umap"], dtype=np.float32)
        if values.shape != (embedding.shape[0], 2) or not np.isfinite(values).all() or not values.std(0).all():
            raise RuntimeError("its coordinates are missing, not finite or all the same")
        return values, None
    except Exception as error:
        free_memory()
        log.warning("%s: the CPU draws the UMAP of %d cells, since %s", method, embedding.shape[0], error)
        return None, first_line(error)


def _umap(cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int, seed: int) -> Floats:
    if embedding.shape[0] < SMALLEST:
        return np.zeros((embedding.shape[0], 2), np.float32)
    with IMPORTING:
        import scanpy

    adata = _with_graph(cache, graph, embedding, metric, n_neighbors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of umap-learn that the user cannot follow
        scanpy.tl.umap(adata, random_state=seed, init_pos=_start(embedding))
    return np.ascontiguousarray(adata.obsm["X_umap"], dtype=np.float32)


def _start(embedding: ArrayRef) -> str:
    return "spectral" if embedding.shape[0] > 15 else "random"


def _with_graph(cache: Cache, graph: str, embedding: ArrayRef, metric: str, n_neighbors: int) -> Any:
    """Return an AnnData with the embedding and the graph as scanpy keeps them."""
    with IMPORTING:
        import anndata

    adata = anndata.AnnData(obsm={"X_used": cache.get(embedding).copy()}, shape=(embedding.shape[0], 0))
    adata.obsp["connectivities"] = connectivities_matrix(cache, graph)
    params = {"method": "umap", "metric": metric, "n_neighbors": n_neighbors, "use_rep": "X_used"}
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "none",
        "params": params,
    }
    return adata
