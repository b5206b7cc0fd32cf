"""The values of a few genes, by name: X is gone through by blocks and never held as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.storage_nodes import is_array, read_ahead, row_blocks, shape_of, sparse_format, values_of
from cellstrata.tasks.evaluation.covariates import Numbers

BLOCK_BYTES = 1 << 26


def read_genes(root: elements.Root, names: Sequence[str]) -> list[Numbers]:
    """Read genes from X, (n,) float64 each, in this order; of a name that occurs twice the first.

    Names that are no genes are left out, and all are where there is no X.
    """
    where = {str(name): place for place, name in reversed(list(enumerate(elements.var_names(root))))}
    found = [name for name in names if name in where]
    if not found or not elements.has_x(root):
        return []
    node, places = root["X"], np.array([where[name] for name in found])
    if not (is_array(node) or sparse_format(node)) or shape_of(node)[0] == 0:
        return []
    table = {"csr": _csr, "csc": _csc, "": _dense}[sparse_format(node)](node, places)
    return [Numbers(name, np.where(np.isfinite(row), row, np.nan)) for name, row in zip(found, table, strict=True)]


def _csr(node: Any, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    n, genes = shape_of(node)
    slot = np.full(genes, -1, np.int32)
    slot[places] = np.arange(len(places), dtype=np.int32)
    table, starts = np.zeros((len(places), n)), np.asarray(values_of(node["indptr"]), np.int64)
    for part in row_blocks(node["indices"], BLOCK_BYTES):
        indices = _block(node["indices"], part)
        hits = np.flatnonzero(slot[indices] >= 0)
        if len(hits):
            rows = np.searchsorted(starts, hits + part.start, side="right") - 1
            table[slot[indices[hits]], rows] = _block(node["data"], part)[hits]
    return table


def _csc(node: Any, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    table, starts = np.zeros((len(places), shape_of(node)[0])), np.asarray(values_of(node["indptr"]), np.int64)
    for row, place in zip(table, places, strict=True):
        own = slice(int(starts[place]), int(starts[place + 1]))
        row[np.asarray(node["indices"][own])] = node["data"][own]
    return table


def _dense(node: Any, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    n, genes = shape_of(node)
    table, chunks = np.empty((len(places), n)), getattr(node, "chunks", None) or (n, genes)
    by_gene = chunks[1] * len(places) < genes
    for part in row_blocks(node, BLOCK_BYTES):
        if by_gene:
            for row, place in zip(table, places, strict=True):
                row[part] = node[part, int(place)]
        else:
            table[:, part] = _block(node, part)[:, places].T
    return table


def _block(node: Any, part: slice) -> npt.NDArray[Any]:
    read_ahead(node, part)
    return np.asarray(node[part])
