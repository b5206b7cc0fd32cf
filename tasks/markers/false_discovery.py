"""Many tests at once: the rate of false discoveries."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def benjamini_hochberg(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return p adjusted for all tests of a list, (tests,): min over j ≥ i of p₍ⱼ₎ n / j, at most 1.

    Benjamini and Hochberg 1995; as `statsmodels`' `fdr_bh`, which scanpy uses.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(scaled)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return adjusted


def best(scores: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.int64]:
    """Return the places of the `n` highest scores, the highest first, of equal ones the first."""
    if n < len(scores):
        bound = np.partition(scores, len(scores) - n)[len(scores) - n]
        among = np.flatnonzero(scores >= bound)
    else:
        among = np.arange(len(scores))
    return among[np.argsort(-scores[among], kind="stable")][:n]
