"""The expression of some cells: their rows of a stored matrix, of several groups in one pass over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from cellstrata.tasks.expression.ahead import ahead
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.expression.stored_blocks import stored_blocks

Rows = npt.NDArray[np.int32]
AT_ONCE = 50_000  # cells whose rows are held, or those of the largest group


def rows_of_groups(expression: Expression, groups: Sequence[Rows]) -> list[Any]:
    """Return the rows of each group, ascending numbers of cells, as a CSR matrix with the values as they are stored.

    The stored matrix is gone through once, block by block; what is kept are the rows asked for.

    Raises
    ------
    InputError
        If the index of a sparse matrix is damaged.
    """
    kept: list[dict[int, list[Any]]] = [{} for _ in groups]  # by the first row, for tiles: those of a row side by side
    for block in ahead(stored_blocks(expression)):
        matrix = block.matrix.tocsr()
        for rows, parts in zip(groups, kept, strict=True):
            first, last = np.searchsorted(rows, [block.rows.start, block.rows.stop])
            if last > first:
                parts.setdefault(block.rows.start, []).append(matrix[rows[first:last] - block.rows.start])
    genes = expression.shape[1]
    return [
        sp.vstack([_beside(tiles) for tiles in parts.values()], format="csr") if parts else sp.csr_matrix((0, genes))
        for parts in kept
    ]


def passes(sizes: Sequence[int], at_once: int = AT_ONCE) -> list[list[int]]:
    """Put groups of so many cells into passes, by their numbers: no pass holds more than the largest, or `at_once`.

    The largest first, each into the first pass that has room.
    """
    limit = max([at_once, *sizes])
    found: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        room = (one for one in found if sum(sizes[each] for each in one) + sizes[number] <= limit)
        if (there := next(room, None)) is None:
            found.append([number])
        else:
            there.append(number)
    return found


def _beside(tiles: list[Any]) -> Any:
    return tiles[0] if len(tiles) == 1 else sp.hstack(tiles, format="csr")
