"""The stored values of a matrix by blocks, in the order they are stored in, each stored chunk read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from cellstrata.tasks.elements.storage_nodes import read_ahead, row_blocks, values_of
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.stores.data_errors import InputError

BLOCK_VALUES = 1 << 22  # stored values of a block: 32 MB of float32 and int32
LARGE = 8  # so many times as many are too many


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows and columns of a matrix: CSR or CSC, its values not zero, float32 or float64 or as they are stored."""

    matrix: Any
    rows: slice
    genes: slice

    def with_values(self, values: npt.NDArray[Any]) -> Block:
        """Return the block with other values at the same places."""
        parts = (values, self.matrix.indices, self.matrix.indptr)
        return Block(type(self.matrix)(parts, shape=self.matrix.shape), self.rows, self.genes)

    def of(self, genes: slice) -> Block | None:
        """Return what the block has of some genes, CSC; None if that is nothing."""
        left, right = max(genes.start, self.genes.start), min(genes.stop, self.genes.stop)
        if left >= right:
            return None
        within = slice(left - self.genes.start, right - self.genes.start)
        return Block(self.matrix.tocsc()[:, within], self.rows, slice(left, right))


def stored_blocks(expression: Expression, values: int = BLOCK_VALUES) -> Iterator[Block]:
    """Yield all of a matrix, values as they are stored, by blocks of about so many `values`.

    CSR and dense matrices give CSR blocks of rows, CSC ones CSC blocks of genes. A dense one whose stored chunks
    have very many rows gives tiles.

    Raises
    ------
    InputError
        If the index of a sparse matrix is damaged.
    """
    n, genes = expression.shape
    if expression.form == "dense":
        yield from _tiles(expression, values)
    elif expression.form == "csr":
        for rows, parts in _compressed(expression, n, genes, values):
            yield Block(_nonzero(sp.csr_matrix(parts, shape=(rows.stop - rows.start, genes))), rows, slice(0, genes))
    else:
        for columns, parts in _compressed(expression, genes, n, values):
            yield Block(_nonzero(sp.csc_matrix(parts, shape=(n, columns.stop - columns.start))), slice(0, n), columns)


def has_whole_rows(expression: Expression, values: int = BLOCK_VALUES) -> bool:
    """Tell whether the blocks of a matrix hold all genes of their cells."""
    return expression.form == "csr" or (expression.form == "dense" and _tile(expression, values)[1] is None)


Parts = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def _compressed(expression: Expression, major: int, minor: int, values: int) -> Iterator[tuple[slice, Parts]]:
    """Yield whole rows of a CSR matrix, or columns of a CSC one: which, and their data, indices and indptr."""
    node, starts = expression.node, np.asarray(values_of(expression.node["indptr"])).astype(np.int64)
    data, indices = node["data"], node["indices"]
    total = int(indices.shape[0])
    if len(starts) != major + 1 or starts[0] != 0 or starts[-1] != total or np.any(np.diff(starts) < 0):
        raise _damaged(expression, "indptr")
    if int(data.shape[0]) != total:
        raise _damaged(expression, "data")
    done = 0  # rows that have been given
    kept: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None  # of a row that goes on in the next chunk
    for part in _parts(indices, starts, values):
        found = tuple(_read(of, part) for of in (data, indices))
        if len(found[1]) and (int(found[1].min()) < 0 or int(found[1].max()) >= minor):
            raise _damaged(expression, "indices")
        joined = found if kept is None else tuple(np.concatenate(both) for both in zip(kept, found, strict=True))
        last = major if part.stop == total else int(np.searchsorted(starts, part.stop, side="right")) - 1
        n = int(starts[last] - starts[done])
        own = (starts[done : last + 1] - starts[done]).astype(np.int32)
        if last > done:
            yield slice(done, last), (joined[0][:n], joined[1][:n].astype(np.int32, copy=False), own)
        kept = None if n == len(joined[0]) else (joined[0][n:], joined[1][n:])
        done = last
    if done < major:  # a matrix without values
        none = (np.empty(0, data.dtype), np.empty(0, np.int32), np.zeros(major - done + 1, np.int32))
        yield slice(done, major), none


def _parts(indices: Any, starts: npt.NDArray[np.int64], values: int) -> Iterator[slice]:
    """Yield slices of the values: whole chunks, or where the values are in one piece, whole rows."""
    if getattr(indices, "chunks", None):
        yield from row_blocks(indices, values * indices.dtype.itemsize)
        return
    at, total = 0, int(starts[-1])
    while at < total:
        end = int(starts[np.searchsorted(starts, at + values, side="right") - 1])
        end = end if end > at else int(starts[np.searchsorted(starts, at, side="right")])  # one row of very many
        yield slice(at, end)
        at = end


def _tiles(expression: Expression, values: int) -> Iterator[Block]:
    node, (n, genes) = expression.node, expression.shape
    step, across = _tile(expression, values)
    for top in range(0, n, step):
        rows = slice(top, min(top + step, n))
        if across is None:
            read_ahead(node, rows)
        for left in range(0, genes, across or genes):
            columns = slice(left, min(left + (across or genes), genes))
            table = _known(np.asarray(node[rows, columns]))
            yield Block(sp.csr_matrix(table), rows, columns)


def _tile(expression: Expression, values: int) -> tuple[int, int | None]:
    """Return how many rows, and how many genes where these are not all, a tile of a dense matrix has."""
    n, genes = expression.shape
    stored = getattr(expression.node, "chunks", None) or (1, genes)
    rows = max(stored[0], values // genes // stored[0] * stored[0])
    if rows * genes <= LARGE * values:
        return rows, None
    rows = min(rows, n)
    return rows, max(stored[1], values // rows // stored[1] * stored[1])


def _nonzero(matrix: Any) -> Any:
    """Return a matrix without values that are stored but zero: they are no expression."""
    if np.count_nonzero(matrix.data) < len(matrix.data):
        matrix = matrix.copy()
        matrix.eliminate_zeros()
    return matrix


def _read(node: Any, part: slice) -> npt.NDArray[Any]:
    read_ahead(node, part)
    return _known(np.asarray(node[part]))


def _known(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return values of a dtype that SciPy's sparse matrices know: not float16, and of this machine's byte order."""
    kind = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    return values.astype(kind, copy=False)


def _damaged(expression: Expression, part: str) -> InputError:
    return InputError(expression.url, expression.where, f"is damaged: its {part} do not fit; write it again")
