"""How well two ways of grouping cells agree: NMI, ARI and V-measure from their table of counts.

Plain numbers without matplotlib or scikit-learn; equal to scikit-learn's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.kernels.rand_index import adjusted_rand_of_counts

Codes = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """Agreement of two groupings over `n_cells`, those that both have a value for; NaN without any.

    `nmi` is normalised by the arithmetic mean of both entropies, and so equals the V-measure of
    homogeneity and completeness with equal weights; `ari` is adjusted for chance.
    """

    n_cells: int
    nmi: float
    ari: float
    v_measure: float
    homogeneity: float
    completeness: float


def contingency(rows: Codes, columns: Codes, n_rows: int, n_columns: int) -> Counts:
    """Count cells by both groupings: an (n_rows, n_columns) int64 table.

    `rows` and `columns` are (n,) codes; cells with a negative code are left out.
    """
    both = (rows >= 0) & (columns >= 0)
    index = rows[both].astype(np.int64) * n_columns + columns[both]
    return np.bincount(index, minlength=n_rows * n_columns).reshape(n_rows, n_columns)


def agreement(table: Counts) -> Agreement:
    """Return the agreement of two groupings from their `contingency`, clusters in rows and values in columns.

    Homogeneity: each cluster holds one value; completeness: each value lies in one cluster.
    """
    return agreement_of_counts(table.ravel(), table.sum(axis=1), table.sum(axis=0))


def agreement_of_counts(both: Counts, rows: Counts, columns: Counts) -> Agreement:
    """Return the agreement from numbers of cells, each (any,): in each pair of groups (those without cells may be left
    out), in each cluster and of each value. The same as `agreement` of their table, which need not be made.
    """
    n = int(both.sum())
    if n == 0:
        return Agreement(0, *[float("nan")] * 5)
    of_rows, of_columns, joint = entropy(rows), entropy(columns), entropy(both)
    mutual = max(0.0, of_rows + of_columns - joint)
    homogeneity = mutual / of_columns if of_columns else 1.0
    completeness = mutual / of_rows if of_rows else 1.0
    total = homogeneity + completeness
    v = 2 * homogeneity * completeness / total if total else 0.0
    mean = (of_rows + of_columns) / 2
    ari = adjusted_rand_of_counts(both, rows, columns)
    return Agreement(n, mutual / mean if mean else 1.0, ari, v, homogeneity, completeness)


def entropy(counts: npt.NDArray[np.integer]) -> float:
    """Return the Shannon entropy of counts, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
