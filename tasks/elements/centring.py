"""Numbers wider than float32 that become float32: centred first where the offset would cost what tells rows apart.

float32 has 24 bits. Of positions that lie 10^8 from the origin and a few apart nothing is left. Distances do not
depend on the origin, so such columns are centred in float64 before; all others keep their bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.hdf5_filters import check_filters
from cellstrata.tasks.elements.storage_nodes import is_array, read_ahead, row_blocks

ROUNDING = 2.0**-24  # of float32, against the number itself
TOO_COARSE = 1e-4  # rounding against the spread of all rows, from which on columns are centred

Blocks = Callable[[], Iterable[tuple[slice, npt.NDArray[np.float64]]]]


@dataclass(frozen=True)
class Narrowed:
    """The (n, d) float32 values, whether they were centred, and how many distinct rows fell together all the same."""

    values: npt.NDArray[np.float32]
    centred: bool
    fallen: int


def is_wide(root: elements.Root, key: str) -> bool:
    """Tell whether an obsm entry is a dense (n, d) array of numbers that float32 may not hold."""
    obsm = root.get("obsm")
    if obsm is None or is_array(obsm) or key not in obsm or not is_array(obsm[key]):
        return False
    node = obsm[key]
    return len(node.shape) == 2 and bool(node.size) and wide(node.dtype)


def wide(dtype: np.dtype) -> bool:
    """Tell whether float32 may not hold numbers of this dtype."""
    return (dtype.kind == "f" and dtype.itemsize > 4) or (dtype.kind in "iu" and dtype.itemsize >= 4)


def read_narrowed(root: elements.Root, key: str, *, centre: bool) -> Narrowed:
    """Read an obsm entry as `read_obsm` does, but centred where that matters and `centre` allows it.

    Raises InputError as `read_obsm` does.
    """
    if not is_wide(root, key):
        return Narrowed(elements.read_obsm(root, key), centred=False, fallen=0)
    node = root["obsm"][key]
    check_filters(elements.url_of(root), f"obsm[{key!r}]", node)

    def blocks() -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
        for rows in row_blocks(node, elements.BLOCK_BYTES):
            read_ahead(node, rows)
            yield rows, np.asarray(node[rows], dtype=np.float64)

    return narrowed(node.shape, blocks, centre=centre)


def narrowed(shape: tuple[int, int], blocks: Blocks, *, centre: bool) -> Narrowed:
    """Return the float64 `blocks` of a table as float32; they are gone through once more where they are centred."""
    values = np.empty(shape, np.float32)
    low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
    exact = np.empty(len(values), np.uint64)
    for rows, block in blocks():
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
        exact[rows] = _marks(block)
        values[rows] = block
    spread = np.linalg.norm(high - low)
    rounding = ROUNDING * np.linalg.norm(np.maximum(np.abs(low), np.abs(high)))
    matters = centre and spread > 0 and rounding > TOO_COARSE * spread  # NaN compares as no
    if matters:
        middle = low + (high - low) / 2
        for rows, block in blocks():
            values[rows] = block - middle
    left = len(np.unique(_marks(values.astype(np.float64))))
    return Narrowed(values, bool(matters), max(0, len(np.unique(exact)) - left))


def _marks(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """Return a 64-bit number for each row, the same for equal rows alone as far as chance allows."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, rows.shape[1], dtype=np.uint64) | np.uint64(1)
    bits = np.ascontiguousarray(rows + 0.0).view(np.uint64)  # of zero there are two
    bits = (bits ^ (bits >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    bits ^= bits >> np.uint64(29)
    return np.asarray((bits * factors).sum(1, dtype=np.uint64))
