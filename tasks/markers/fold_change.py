"""How much more of a gene one group has than another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

TINY = 1e-9  # scanpy's, so that nothing is divided by zero

Floats = npt.NDArray[np.float64]


def log_fold_change(means: Floats, of_rest: Floats, log_base: float | None = None) -> Floats:
    """Return log₂((eᵐ¹ - 1 + 1e-9) / (eᵐ² - 1 + 1e-9)) of the means of logarithms, as scanpy does.

    `log_base` is the base of the logarithms, None for e.
    """
    scale = 1.0 if log_base is None else float(np.log(log_base))
    change: Floats = np.log2((np.expm1(means * scale) + TINY) / (np.expm1(of_rest * scale) + TINY))
    return change
