"""All cells' values of some genes at a time, as tests of ranks need them: in as few passes as memory allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from cellstrata.tasks.expression.blocks import Logs

AT_ONCE = 1 << 25  # values that are held: 256 MB of float32 and int32, twice while they are put together


def gene_blocks(
    logs: Logs, expressing: npt.NDArray[np.integer[Any]], values: int = AT_ONCE
) -> Iterator[tuple[slice, Any]]:
    """Yield runs of genes with a CSR matrix of genes × cells, all genes once and in their order.

    `logs.blocks` has been gone through before. `expressing` is how many cells express each gene, (genes,). A matrix
    stored by genes is read once. Of one stored by cells each pass keeps the values of the next genes, so many that
    about `values` are held.
    """
    if logs.expression.form == "csc":
        for block in logs.blocks():
            yield block.genes, block.matrix.T
        return
    for run in runs(expressing, values):
        at: dict[int, list[Any]] = {}  # by the first row, for tiles: those of a row side by side
        for block in logs.blocks_of(run):
            at.setdefault(block.rows.start, []).append(block.matrix.T)
        yield run, _joined(at)


def _joined(at: dict[int, list[Any]]) -> Any:
    """Put tiles together, and forget them."""
    rows = [at.pop(top) for top in list(at)]
    return sp.hstack([of[0] if len(of) == 1 else sp.vstack(of, format="csr") for of in rows], format="csr")


def runs(expressing: npt.NDArray[np.integer[Any]], values: int) -> list[slice]:
    """Cut genes into runs with at most so many values each, or one gene."""
    found, first, held = [], 0, 0
    for gene, n in enumerate(expressing.tolist()):
        if held + n > values and gene > first:
            found.append(slice(first, gene))
            first, held = gene, 0
        held += n
    return [*found, slice(first, len(expressing))]
