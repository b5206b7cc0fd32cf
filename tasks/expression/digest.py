"""The digest of a stored matrix of expression: what is made of it is found by what it holds, not where."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from cellstrata.tasks.elements.storage_nodes import read_ahead, row_blocks
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.stores.digest import SIZE, digest_values

PART = 1 << 25  # bytes that are read at a time


def expression_digest(expression: Expression) -> str:
    """Return the digest of a matrix as it is stored, read in blocks: its form, shape, types and values.

    The same values that are stored otherwise (dense, by genes) have another digest.
    """
    whole = expression.form == "dense"
    nodes = [expression.node] if whole else [expression.node[name] for name in ("indptr", "indices", "data")]
    return digest_values(form=expression.form, shape=list(expression.shape), parts=[_digest(node) for node in nodes])


def _digest(node: Any) -> str:
    dtype = np.dtype(node.dtype).newbyteorder("<")
    state = hashlib.blake2b(f"{dtype.str}{tuple(node.shape)}".encode(), digest_size=SIZE)
    for part in row_blocks(node, PART):
        read_ahead(node, part)
        state.update(np.ascontiguousarray(node[part]).astype(dtype, copy=False).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
