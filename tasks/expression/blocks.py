"""Going through a matrix once, with values as tests need them: logarithms, checked as they pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.storage_nodes import read_ahead, values_of
from cellstrata.tasks.expression.ahead import ahead
from cellstrata.tasks.expression.holdings import Holdings, contradiction
from cellstrata.tasks.expression.normalization import library_sizes, normalized, row_sums
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.expression.stored_blocks import BLOCK_VALUES, Block, has_whole_rows, stored_blocks
from cellstrata.tasks.stores.data_errors import InputError

SPOTS, AT_A_SPOT = 10, 100  # of a sample: places, and rows (of a CSC matrix: genes) at each
MOST_VALUES = 1 << 20  # of a place
FLOATS = (np.float32, np.float64)


class Logs:
    """A matrix as logarithms, to be gone through more than once; bounded memory, whatever the number of cells.

    With `normalize` it must hold counts, which are normalized as they pass; without it, logarithms.
    """

    def __init__(self, expression: Expression, *, normalize: bool, values: int = BLOCK_VALUES) -> None:
        """Look at a sample of the values.

        Raises
        ------
        InputError
            If they are not what `normalize` says.
        """
        self.expression, self.normalize, self._values = expression, normalize, values
        with reading(expression.url, expression.where):
            self.sample = sampled(expression)
        if self.sample.kind != "nothing":
            self._refuse(contradiction(self.sample, normalize=normalize))
        self.seen = Holdings()
        self._sizes: npt.NDArray[np.float64] | None = None

    @property
    def log_base(self) -> float | None:
        """The base of the logarithms, None for natural ones."""
        return None if self.normalize else self.expression.log_base

    @property
    def notices(self) -> list[str]:
        """What a user should know of the matrix."""
        return self.notices_of_values + repeated_names(self.expression)

    @property
    def notices_of_values(self) -> list[str]:
        """What a user should know of its values."""
        found = self.seen if self.seen.n else self.sample
        return [f"{self.expression.where} holds {found}; they are normalized as if they were"] * (found.kind == "large")

    def blocks(self) -> Iterator[Block]:
        """Yield all of it, float32 or float64, by blocks in the order they are stored in; the next is read meanwhile.

        Raises
        ------
        InputError
            If a value is not what `normalize` says, or the matrix is damaged; after the last block too.
        """
        if self.normalize and self._sizes is None and not has_whole_rows(self.expression, self._values):
            self._sizes = library_sizes(ahead(self._checked()), self.expression.shape[0])
        yield from ahead(self._logs())
        self._refuse(contradiction(self.seen, normalize=self.normalize))

    def blocks_of(self, genes: slice) -> Iterator[Block]:
        """Yield of these genes what `blocks`, which has been gone through to the end, has found to be right."""
        yield from ahead(self._float(part) for block in self._stored() if (part := block.of(genes)) is not None)

    def _logs(self) -> Iterator[Block]:
        if not self.normalize or self._sizes is not None:
            yield from map(self._float, self._checked())
            return
        sizes = np.zeros(self.expression.shape[0])
        for block in self._checked():
            sizes[block.rows] = row_sums(block)
            yield normalized(block, sizes)
        self._sizes = sizes

    def _float(self, block: Block) -> Block:
        if self._sizes is not None:
            return normalized(block, self._sizes)
        kind = block.matrix.data.dtype
        return block.with_values(block.matrix.data.astype(kind if kind in FLOATS else np.float32, copy=False))

    def _checked(self) -> Iterator[Block]:
        for block in self._stored():
            self.seen = self.seen.joined(Holdings.of(block.matrix.data, whole_so_far=self.seen.whole))
            if self.seen.kind in ("negative", "not finite") or (self.seen.kind == "large" and not self.normalize):
                self._refuse(contradiction(self.seen, normalize=self.normalize))
            yield block

    def _stored(self) -> Iterator[Block]:
        with reading(self.expression.url, self.expression.where):
            yield from stored_blocks(self.expression, self._values)

    def _refuse(self, message: str) -> None:
        if message:
            others = f" (there is {', '.join(self.expression.others)})" if self.expression.others else ""
            raise InputError(self.expression.url, self.expression.where, f"{message}{others}")


def _names(several: list[str]) -> str:
    shown = f"{', '.join(several[:3])}{' …' if len(several) > 3 else ''}"
    return f"the name {shown} stands for" if len(several) == 1 else f"{len(several)} names, {shown}, stand for"


def repeated_names(expression: Expression) -> list[str]:
    """Say so if a name stands for several genes."""
    several = expression.repeated_genes
    return [f"{_names(several)} several genes each: each gene has rows of its own"] * bool(several)


def sampled(expression: Expression) -> Holdings:
    """Look at about 1,000 rows (of a CSC matrix, genes) in ten places that are spread over all."""
    node, form = expression.node, expression.form
    major = expression.shape[1 if form == "csc" else 0]
    values = node if form == "dense" else node["data"]
    starts = None if form == "dense" else np.asarray(values_of(node["indptr"])).astype(np.int64)
    chunk = int(np.prod(getattr(values, "chunks", None) or (1,), dtype=np.int64))
    spots = SPOTS if chunk <= MOST_VALUES else 1  # a chunk is read whole
    found = Holdings()
    for first in np.unique(np.linspace(0, max(0, major - AT_A_SPOT), spots).astype(int)).tolist():
        last = min(first + AT_A_SPOT, major)
        if starts is None:
            last = min(last, first + max(1, MOST_VALUES // expression.shape[1]))
            part = slice(first, last)
        elif last < len(starts) and 0 <= starts[first] <= starts[last]:  # else it is damaged, as will be said
            part = slice(int(starts[first]), int(min(starts[last], starts[first] + MOST_VALUES)))
        else:
            continue
        found = found.joined(Holdings.of(_read(values, part), whole_so_far=found.whole))
    return found


def _read(node: Any, part: slice) -> npt.NDArray[Any]:
    read_ahead(node, part)
    return np.asarray(node[part])
