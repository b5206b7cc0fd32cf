"""The PCA of X by scanpy, when `X_pca` is asked for and not there. Runs in a process of its own."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import InputError, Opened
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.stores.digest import digest_array, digest_values

COMPONENTS = 50  # scanpy's default
OTHERWISE = "name a stored embedding, or X itself, as `use_rep` of `neighbors`"


def compute_pca(
    source: Opened,
    cache: Cache,
    n_pcs: int | None,
    *,
    refresh: bool = False,
    rehash: bool = False,
) -> ArrayRef:
    """Find or compute the first `n_pcs` components of X, by default min(50, n - 1, genes - 1), float32.

    X is taken as it is stored: normalised and on a log scale, as for `scanpy.pp.pca`. Of an X that is
    remembered not even that is read, unless `rehash`. Returns the address of the (n, components) array.

    Raises
    ------
    InputError
        If X is too small, the same in all cells, or holds NaN or infinite values.
    """
    memory, place = _memory(source, cache, n_pcs, rehash=rehash)
    recalled = None if refresh else memory.recall(place)
    if recalled is not None and (known := cache.find(recalled["pca"], "pca")):
        return known.array("embedding")
    matrix, components, key = _read(source, n_pcs)
    record = None if refresh else cache.find(key, "pca")
    if record is None:
        with IMPORTING:
            from scipy.sparse.linalg import ArpackError

        try:
            values = _pca(matrix, components)
        except ArpackError as error:
            message = f"gives no PCA, as when all cells are the same ({str(error).rstrip('.')}); {OTHERWISE}"
            raise InputError(source.url, "X", message) from None
        record = cache.write_record("pca", key, {"arrays": {"embedding": cache.put(values).to_json()}})
    memory.learn(place, {"pca": key})
    return record.array("embedding")


def find_pca(source: Opened, cache: Cache, n_pcs: int | None, *, rehash: bool = False) -> ArrayRef | None:
    """Return what `compute_pca` would, if the cache has it; X is read to know, unless it is remembered.

    Raises InputError as it does.
    """
    memory, place = _memory(source, cache, n_pcs, rehash=rehash)
    recalled = memory.recall(place)
    key = _read(source, n_pcs)[2] if recalled is None else str(recalled["pca"])
    record = cache.find(key, "pca")
    return None if record is None else record.array("embedding")


def _memory(source: Opened, cache: Cache, n_pcs: int | None, *, rehash: bool) -> tuple[Remembered, str | None]:
    memory = Remembered(cache, source, forget=rehash)
    return memory, memory.key(["X"], pca=n_pcs, scanpy=version("scanpy"))


def _read(source: Opened, n_pcs: int | None) -> tuple[object, int, str]:
    """Return X, how many components can be had of it, and their key."""
    with source.root() as root:
        matrix = elements.read_x(root)
    source.check_unchanged()
    data = matrix.data if hasattr(matrix, "indptr") else matrix
    if not np.isfinite(np.asarray(data)).all():
        raise InputError(source.url, "X", "has NaN or infinite values, so no PCA can be computed: mend them")
    n_cells, n_genes = matrix.shape
    components = min(n_pcs or COMPONENTS, max(1, n_cells - 1), n_genes - 1)
    if components < 1:
        raise InputError(source.url, "X", f"is {n_cells} × {n_genes}, too small for a PCA; {OTHERWISE}")
    parts = [digest_array(np.asarray(getattr(matrix, name))) for name in ("indptr", "indices", "data")
             if hasattr(matrix, "indptr")] or [digest_array(np.asarray(matrix))]  # fmt: skip
    key = digest_values(kind="pca", parts=parts, components=components, scanpy=version("scanpy"))
    return matrix, components, key


def _pca(matrix: Any, components: int) -> np.ndarray:
    if matrix.shape[0] < 2:  # a cell is its own centre
        return np.zeros((matrix.shape[0], components), np.float32)
    with IMPORTING:
        import anndata
        import scanpy

    adata = anndata.AnnData(matrix.astype(np.float32))
    scanpy.pp.pca(adata, n_comps=components, random_state=0)
    return np.asarray(adata.obsm["X_pca"], dtype=np.float32)
