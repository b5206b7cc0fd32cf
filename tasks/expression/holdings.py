"""What a matrix holds, counts, logarithms or scaled values, told from its values and never guessed in silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["nothing", "counts", "logs", "negative", "not finite", "large"]
MOST_LOG = 30.0  # the natural logarithm of 1e13: no cell has so many molecules


@dataclass(frozen=True)
class Holdings:
    """What is known of values that were looked at: how many are not zero, their range, and whether all are whole."""

    n: int = 0
    least: float = 0.0
    most: float = 0.0
    whole: bool = True

    @classmethod
    def of(cls, values: npt.NDArray[np.generic], *, whole_so_far: bool = True) -> Holdings:
        """Look at values of any shape and real dtype. Those that were not all whole before are not asked again."""
        if not values.size:
            return cls(whole=whole_so_far)
        least, most = float(values.min()), float(values.max())  # NaN if there is one
        whole = whole_so_far
        if whole and values.dtype.kind == "f" and np.isfinite([least, most]).all():
            whole = bool((values == np.rint(values)).all())
        return cls(int(np.count_nonzero(values)), min(least, 0.0), max(most, 0.0), whole)

    def joined(self, other: Holdings) -> Holdings:
        """Return what is known of both together; NaN stays."""
        least, most = np.minimum(self.least, other.least), np.maximum(self.most, other.most)
        return Holdings(self.n + other.n, float(least), float(most), self.whole and other.whole)

    @property
    def kind(self) -> Kind:
        """`counts` are whole and not negative, `logs` neither whole nor negative and below 30; `large` are neither."""
        if not np.isfinite([self.least, self.most]).all():
            return "not finite"
        if self.n == 0:
            return "nothing"
        if self.least < 0:
            return "negative"
        if self.whole:
            return "counts"
        return "logs" if self.most < MOST_LOG else "large"

    def __str__(self) -> str:
        """Say it in words: `whole numbers from 0 to 31, which are counts`."""
        numbers = "whole numbers" if self.whole else "numbers that are not whole"
        of = f"{numbers} from {self.least:g} to {self.most:g}"
        return {
            "nothing": "zeros alone",
            "not finite": "values that are not finite",
            "negative": f"{of}, which are neither counts nor logarithms but scaled or centered",
            "counts": f"{of}, which are counts",
            "logs": f"{of}, which are logarithms",
            "large": f"{of}, too large for logarithms and no counts",
        }[self.kind]


def contradiction(found: Holdings, *, normalize: bool) -> str:
    """Say why values cannot be what they were said to be, and what to do; empty where they can.

    With `normalize` they must be counts, without it logarithms. What is not whole and too large for logarithms may
    be counts of which a background was taken away: these may be normalized.
    """
    kind = found.kind
    if kind == "not finite":
        return f"holds {found}; replace them, or name another matrix"
    if kind == "nothing":
        return f"holds {found}; name another matrix"
    if kind == "negative":
        return f"holds {found}; name a matrix of logarithms, or of counts with `normalize`"
    if normalize and kind == "logs":
        return f"holds {found} already; leave `normalize` away, or name the matrix of counts"
    if not normalize and kind == "counts":
        return f"holds {found}; ask for `normalize`, or name a matrix of logarithms"
    if not normalize and kind == "large":
        return f"holds {found}; ask for `normalize`, or name a matrix of logarithms"
    return ""
