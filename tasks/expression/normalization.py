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
        sizes[block.rows] += row_sums(block)
    return sizes


def normalized(block: Block, sizes: npt.NDArray[np.float64]) -> Block:
    """Return a block of counts as logarithms: log(1 + 10,000 × count / size of the cell), natural.

    As `scanpy.pp.normalize_total(target_sum=1e4)` and `log1p`, to the last bit, so that the same values are tied:
    float64 stays, everything else becomes float32. `sizes` (n,) are those of all cells.
    """
    matrix = block.matrix
    kind: Any = np.float64 if matrix.data.dtype == np.float64 else np.float32
    scale = sizes[block.rows].astype(kind) / kind(LIBRARY)
    scale[scale == 0] = 1
    each = np.repeat(scale, np.diff(matrix.indptr)) if matrix.format == "csr" else scale[matrix.indices]
    values = np.divide(matrix.data, each, dtype=kind)
    return block.with_values(np.log1p(values, out=values))


def row_sums(block: Block) -> npt.NDArray[np.float64]:
    """Return the sum of each row of a block, float64."""
    sums: npt.NDArray[np.float64] = np.asarray(block.matrix @ np.ones(block.matrix.shape[1]), dtype=np.float64)
    return sums
