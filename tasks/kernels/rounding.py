"""Where float32 may rank neighbors wrongly, and their search by differences there.

A fast search expands |x - y|² into |x|² + |y|² - 2xy. In float32 each term is rounded to its own size, so
the error is that of the norms, however near x and y are. It matters where cells lie far from the middle of
all and near each other. N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1,
bounds a sum of d products by d u |x||y|, with u the unit roundoff.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.faiss_search import Floats, Rows, faiss

UNIT = 2.0**-24  # of float32
HARMLESS = 1e-6  # of a squared distance: neighbors whose distances differ by less are ties
PRECISE = 1e-5  # of a distance: what rounding the coordinates once more may change in it
COARSE_COSINE = 1e-2  # of a distance by cosine: what rounding the product of two vectors may change in it


def bound(norms: npt.NDArray[Any], reach: npt.NDArray[Any], d: int) -> npt.NDArray[np.float64]:
    """Return how wrong a squared distance by expansion may be, (m,) float64.

    Of cells with these `norms` (m,), to cells not farther than `reach` (m,), in `d` dimensions.
    """
    farthest = norms.astype(np.float64) + reach
    wrong: npt.NDArray[np.float64] = 4.0 * (d + 2) * UNIT * farthest**2
    return wrong


def doubtful(
    norms: npt.NDArray[Any], kth: npt.NDArray[Any], last: npt.NDArray[Any], d: int, metric: str
) -> npt.NDArray[np.bool_]:
    """Tell which cells' neighbors have to be looked at again, (m,) bool.

    `kth` and `last` are the distances (m,) of the k-th neighbor and of the farthest candidate found, by
    `metric`. A cell that was not found is not nearer than `last`, less what the expansion may be wrong on
    both sides; and the k-th distance itself may be known too coarsely.
    """
    if metric == "cosine":  # of two vectors of length one: half the square of their chord
        wanted, reached = (2.0 * gaps.astype(np.float64) for gaps in (kth, last))
        coarse = (d + 2) * UNIT > COARSE_COSINE * kth
    else:
        wanted, reached = (gaps.astype(np.float64) ** 2 for gaps in (kth, last))
        coarse = (kth > 0) & (UNIT * norms > PRECISE * kth)
    missed = (kth > 0) & (reached - 2 * bound(norms, np.sqrt(reached), d) < wanted * (1 - HARMLESS))
    return (missed | coarse) & (norms > 0)  # in the middle nothing is rounded; by cosine all are equally far from it


def matters(norms: npt.NDArray[Any], gaps: npt.NDArray[Any], d: int) -> bool:
    """Tell whether the expansion may confuse the lists of an inverted file; `gaps` are squared distances (n,)
    of the cells to the middle of their list."""
    return float(bound(norms, np.zeros(1), d).max()) > 0.02 * float(np.median(gaps))


class Differences:
    """A search that takes differences, three times slower than expansion and right at any offset.

    One list of faiss' inverted file holds all `points` (n, d) float32: its scan has no expansion. It is
    made when first asked, and threads share it.
    """

    def __init__(self, points: Floats) -> None:
        self._points = points
        self._lock = threading.Lock()
        self._index: Any = None

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Rows]:
        """Return squared distances and numbers, (m, k) both, of the k nearest points of each query."""
        lib = faiss()
        with self._lock:
            if self._index is None:
                self._index = self._made(lib)
        lib.omp_set_num_threads(1)  # OpenMP's setting is one of each thread
        m = len(queries)
        lists, gaps = np.zeros((m, 1), np.int64), np.zeros((m, 1), np.float32)
        found: tuple[Floats, Rows] = self._index.search_preassigned(np.ascontiguousarray(queries), k, lists, gaps)
        return found

    def _made(self, lib: Any) -> Any:
        n, d = self._points.shape
        self._coarse = lib.IndexFlatL2(d)
        self._coarse.add(np.zeros((1, d), np.float32))
        index = lib.IndexIVFFlat(self._coarse, d, 1)
        numbers, lists = np.arange(n), np.zeros(n, np.int64)  # by name: faiss is given their addresses alone
        index.add_core(n, lib.swig_ptr(self._points), lib.swig_ptr(numbers), lib.swig_ptr(lists))
        return index
