"""Counts to logarithms, as scanpy does it: each cell to 10,000 molecules in all, then log(1 + x)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.expression.stored_blocks import Block

LIBRARY = 1e4


def library_sizes(blocks: Iterable[Block], n: int) -> npt.NDArray[np.float64]:
    """Return the sum of each cell's counts, (n,) float64; sums of whole numbers are exact in any order."""
    sizes = np.zeros(n)
    for block in blocks:
        sizes[block.rows] += _row_sums(block.matrix)
    return sizes


def normalized(block: Block, sizes: npt.NDArray[np.float64] | None = None) -> Block:
    """Return a block of counts as logarithms: log(1 + 10,000 × count / size of the cell), natural.

    As `scanpy.pp.normalize_total(target_sum=1e4)` and `log1p`, to the last bit, so that the same values are tied:
    float64 stays, everything else becomes float32. `sizes` are those of all cells, needed where the block does not
    have all genes.
    """
    matrix = block.matrix
    kind: Any = np.float64 if matrix.data.dtype == np.float64 else np.float32
    own = _row_sums(matrix) if sizes is None else sizes[block.rows]
    scale = own.astype(kind) / kind(LIBRARY)
    scale[scale == 0] = 1
    each = np.repeat(scale, np.diff(matrix.indptr)) if matrix.format == "csr" else scale[matrix.indices]
    values = np.divide(matrix.data, each, dtype=kind)
    return block.with_values(np.log1p(values, out=values))


def _row_sums(matrix: Any) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = np.asarray(matrix @ np.ones(matrix.shape[1]), dtype=np.float64)
    return sums
