"""Of which donors or batches a cluster's cells come, and which clusters come from one alone. No matplotlib."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.agreement import Counts

ALMOST_ALL = 0.9  # a share that counts as coming from one batch


@dataclass(frozen=True)
class Composition:
    """Of each cluster, in the rows' order: the entropy of its cells over a covariate's values, 0 (one value)
    to 1 (as mixed as all cells are, or more), the value that most cells have (index of a column) and its share, and
    whether the cluster comes from one value alone: its share is at least 0.9, and that of all cells is less.

    `n_cells` counts cells with a value; entropy and share are NaN where there is none.
    """

    n_cells: npt.NDArray[np.int64]
    entropy: npt.NDArray[np.float64]
    largest: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]
    from_one: npt.NDArray[np.bool_]


def composition(table: Counts) -> Composition:
    """Return of what the clusters, rows of a `contingency`, are composed."""
    sizes = table.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = table / sizes[:, None]
        terms = np.where(table > 0, -shares * np.log(shares), 0.0)
    own = np.where(sizes > 0, terms.sum(axis=1), np.nan)
    whole = table.sum(axis=0) / max(1, sizes.sum())
    mixed = float(-(whole[whole > 0] * np.log(whole[whole > 0])).sum())
    relative = np.minimum(own / mixed, 1.0) if mixed else np.where(sizes > 0, 0.0, np.nan)
    largest = table.argmax(axis=1) if table.shape[1] else np.zeros(len(table), np.int64)
    share = np.where(sizes > 0, table.max(axis=1, initial=0) / np.maximum(sizes, 1), np.nan)
    flagged = (share >= ALMOST_ALL) & (whole.max(initial=0.0) < ALMOST_ALL)
    return Composition(sizes, relative, largest, share, flagged)
