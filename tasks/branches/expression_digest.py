"""The digest of a stored matrix of expression: what is derived from it is found by what it holds, not where."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from cellstrata.tasks.elements.storage_nodes import read_ahead, row_blocks
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.stores.digest import SIZE, digest_values

PART = 1 << 25  # bytes that are read at a time


def expression_digest(expression: Expression, memory: Remembered, element: str) -> str:
    """Return the digest of a matrix, remembered with the input; it is read once in blocks where it is not known.

    `element` is the path of the matrix in the file. The same values that are stored otherwise (dense, by genes) have
    another digest.
    """
    place = memory.key([element], digest="expression")
    known = memory.recall(place)
    if known is not None and isinstance(known.get("digest"), str):
        return str(known["digest"])
    nodes = [expression.node] if expression.form == "dense" else [
        expression.node[name] for name in ("indptr", "indices", "data")
    ]  # fmt: skip
    found = digest_values(form=expression.form, shape=list(expression.shape), parts=[_digest(node) for node in nodes])
    memory.learn(place, {"digest": found})
    return found


def _digest(node: Any) -> str:
    dtype = np.dtype(node.dtype).newbyteorder("<")
    state = hashlib.blake2b(f"{dtype.str}{tuple(node.shape)}".encode(), digest_size=SIZE)
    for part in row_blocks(node, PART):
        read_ahead(node, part)
        state.update(np.ascontiguousarray(node[part]).astype(dtype, copy=False).reshape(-1).view(np.uint8).data)
    return state.hexdigest()
