"""Welch's t-test of two groups from their moments, as scanpy's `t-test` and `t-test_overestim_var`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.markers.moments import Group

Floats = npt.NDArray[np.float64]


def welch(group: Group, rest: Group, *, overestimate: bool = False) -> tuple[Floats, Floats]:
    """Return the t statistic and the two-sided p of each gene, positive where the group has more.

    t = (m₁ - m₂) / √(v₁/n₁ + v₂/n₂), with the degrees of freedom of Welch and Satterthwaite
    (`scipy.stats.ttest_ind_from_stats` with `equal_var=False`). With `overestimate`, n₂ is n₁: scanpy's way to
    overestimate the variance of small groups. A gene that does not vary and has the same mean has t 0 and p 1.

    Both groups have two cells or more.
    """
    with IMPORTING:
        from scipy.special import stdtr

    n_rest = group.n if overestimate else rest.n
    one, other = group.variances / group.n, rest.variances / n_rest
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (one + other) ** 2 / (one**2 / (group.n - 1) + other**2 / (n_rest - 1))
        t = (group.means - rest.means) / np.sqrt(one + other)
    freedom = np.where(np.isnan(freedom), 1, freedom)  # as SciPy
    p = 2 * stdtr(freedom, -np.abs(t))
    return np.where(np.isnan(t), 0, t), np.where(np.isnan(p), 1, p)
