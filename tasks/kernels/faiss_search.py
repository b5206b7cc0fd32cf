"""faiss as this package uses it: single-threaded kernels on blocks of a fixed size, shared by threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

BLOCK = 4096  # queries; part of what is found, since the last bits depend on it

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Search = Callable[[Rows], Rows]


@cache
def faiss() -> Any:
    """Import faiss and make its exact search use BLAS at any dimension (1.14 raised the threshold,
    which makes it five times slower at 10 dimensions)."""
    with IMPORTING:
        import faiss as module

    module.cvar.distance_compute_blas_threshold = 20
    return module


def blocks_of(rows: Rows) -> list[Rows]:
    """Cut rows into blocks of the size that decides the last bits of what is found."""
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def each_block(call: Callable[[Rows], object], blocks: Sequence[Rows], threads: int) -> list[Any]:
    """Call a function with each block of rows, `threads` at a time."""
    if threads < 2 or len(blocks) < 2:
        return [call(block) for block in blocks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, blocks))
