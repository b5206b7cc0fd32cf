"""Sums, sums of squares and numbers of expressing cells, by gene and group, from one pass over the values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

Floats = npt.NDArray[np.float64]


class Block(Protocol):
    """Some rows and genes of a matrix, CSR or CSC."""

    @property
    def matrix(self) -> Any:
        """Its values, rows × genes; none is stored that is zero."""

    @property
    def rows(self) -> slice:
        """Which cells it has."""

    @property
    def genes(self) -> slice:
        """Which genes it has."""


@dataclass(frozen=True, eq=False)
class Group:
    """Moments of a group of `n` cells: for each gene the sum of its values, of their squares, and how many cells
    express it."""

    n: int
    sums: Floats
    squares: Floats
    expressing: npt.NDArray[np.int64]

    def without(self, part: Group) -> Group:
        """Return the rest of a group; what no cell of it expresses has sums of exactly zero."""
        expressing = self.expressing - part.expressing
        some = expressing > 0  # a difference of sums of floats need not be zero where it should be
        return Group(self.n - part.n, (self.sums - part.sums) * some, (self.squares - part.squares) * some, expressing)

    @property
    def means(self) -> Floats:
        """The mean of each gene."""
        return self.sums / self.n

    @property
    def variances(self) -> Floats:
        """The variance of each gene, unbiased, as scanpy has it: the mean of squares without the square of the mean."""
        biased = self.squares / self.n - self.means**2
        return np.maximum(biased, 0) * (self.n / max(1, self.n - 1))

    @property
    def shares(self) -> Floats:
        """The share of the cells that expresses each gene."""
        return self.expressing / self.n


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of all groups: `cells` (groups,) int64; the others (genes, groups), float64 and int32."""

    cells: npt.NDArray[np.int64]
    sums: Floats
    squares: Floats
    expressing: npt.NDArray[np.int32]

    def group(self, groups: npt.NDArray[np.int64]) -> Group:
        """Return the moments of some groups together."""
        return Group(
            int(self.cells[groups].sum()),
            self.sums[:, groups].sum(axis=1),
            self.squares[:, groups].sum(axis=1),
            self.expressing[:, groups].sum(axis=1, dtype=np.int64),
        )

    def at(self, genes: npt.NDArray[np.int64]) -> Moments:
        """Return the moments of some genes."""
        return Moments(self.cells, self.sums[genes], self.squares[genes], self.expressing[genes])

    def all(self) -> Group:
        """Return the moments of all groups together."""
        return self.group(np.arange(len(self.cells)))


def moments(blocks: Iterable[Block], groupings: Sequence[npt.NDArray[np.int32]], n_genes: int) -> tuple[Moments, ...]:
    """Go through blocks once, and return the moments of each grouping of the cells.

    Parameters
    ----------
    blocks
        All of a matrix once; each cell's values in ascending order of cells, gene by gene.
    groupings
        For each cell the number of its group, (n,) int32, from 0 without gaps.
    n_genes
        How many genes there are.

    Values are squared and added one by one in the order of the cells, in float64, so that neither the size of the
    blocks, nor how the matrix is stored, nor the number of threads changes a digit.
    """
    found = [_empty(codes, n_genes) for codes in groupings]
    with ThreadPoolExecutor(max(1, min(len(found), 4)), thread_name_prefix="moments") as threads:
        for block in blocks:
            by_gene = block.matrix.tocsc()
            values = by_gene.data.astype(np.float64, copy=False)
            parts = (by_gene.indptr, by_gene.indices, values, values**2, np.ones(len(values), np.int32))
            work = [
                threads.submit(_add, of, block.genes, codes[block.rows], *parts)
                for of, codes in zip(found, groupings, strict=True)
            ]
            for one in work:
                one.result()
    return tuple(found)


def moments_of_parts(
    blocks: Iterable[Block],
    parts: Sequence[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    n_genes: int,
) -> tuple[Moments, ...]:
    """Go through blocks once, and return the moments of the groups of each of some sets of cells.

    `parts` are the cells of each set, ascending numbers, and the group of each of them from 0 without gaps, (m,) int32
    both. Sets may overlap. A cell costs what it holds, for each set that it is in. The same numbers as `moments` gives
    of these cells alone, to the last bit, whatever other sets there are.
    """
    found = [_empty(codes, n_genes) for _, codes in parts]
    with ThreadPoolExecutor(max(1, min(len(found), 4)), thread_name_prefix="moments") as threads:
        for block in blocks:
            matrix = block.matrix.tocsr()
            work = [
                threads.submit(_add_part, of, block, matrix, rows, codes)
                for of, (rows, codes) in zip(found, parts, strict=True)
            ]
            for one in work:
                one.result()
    return tuple(found)


def _add_part(
    of: Moments, block: Block, matrix: Any, rows: npt.NDArray[np.int32], codes: npt.NDArray[np.int32]
) -> None:
    first, last = np.searchsorted(rows, [block.rows.start, block.rows.stop])
    if first == last:
        return
    every = last - first == block.rows.stop - block.rows.start
    own = (block.matrix if every else matrix[rows[first:last] - block.rows.start]).tocsc()
    values = own.data.astype(np.float64, copy=False)
    ones = np.ones(len(values), np.int32)
    _add(of, block.genes, codes[first:last], own.indptr, own.indices, values, values**2, ones)


def _empty(codes: npt.NDArray[np.int32], n_genes: int) -> Moments:
    cells = np.bincount(codes)
    shape = (n_genes, len(cells))
    return Moments(cells, np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int32))


def _add(
    of: Moments,
    genes: slice,
    codes: npt.NDArray[np.int32],
    starts: npt.NDArray[Any],
    rows: npt.NDArray[Any],
    values: Floats,
    squares: Floats,
    ones: npt.NDArray[np.int32],
) -> None:
    """Add a block, stored by genes, to what was found before."""
    with IMPORTING:
        # Private to SciPy, and the one loop there that adds into an array that is there; anndata uses others of it.
        from scipy.sparse import _sparsetools

    groups = codes[rows]  # within a gene several values have the same group; the loop adds them all
    starts = starts.astype(np.int32, copy=False)
    shape = (genes.stop - genes.start, len(of.cells))
    for values_of, into in ((values, of.sums), (squares, of.squares), (ones, of.expressing)):
        _sparsetools.csr_todense(*shape, starts, groups, values_of, into[genes])
