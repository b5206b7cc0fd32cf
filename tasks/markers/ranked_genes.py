"""The genes that tell one group of cells from others, the best first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.markers.false_discovery import benjamini_hochberg, best
from cellstrata.tasks.markers.fold_change import log_fold_change
from cellstrata.tasks.markers.moments import Group

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedGenes:
    """The best genes of a group against a rest, by score: arrays of one length, in their order.

    `genes` are places among all genes; `shares` and `shares_of_rest` of the cells express them. `auroc` is known of
    tests of ranks.
    """

    genes: npt.NDArray[np.int64]
    scores: Floats
    log_fold_changes: Floats
    p: Floats
    p_adjusted: Floats
    shares: Floats
    shares_of_rest: Floats
    auroc: Floats | None = None


def ranked_genes(
    group: Group,
    rest: Group,
    scores: Floats,
    p: Floats,
    *,
    n_genes: int,
    log_base: float | None = None,
    auroc: Floats | None = None,
) -> RankedGenes:
    """Return the `n_genes` genes of the highest scores; p is adjusted for all genes, as scanpy does."""
    chosen = best(scores, n_genes)
    changes = log_fold_change(group.means[chosen], rest.means[chosen], log_base)
    return RankedGenes(
        genes=chosen,
        scores=scores[chosen],
        log_fold_changes=changes,
        p=p[chosen],
        p_adjusted=benjamini_hochberg(p)[chosen],
        shares=group.shares[chosen],
        shares_of_rest=rest.shares[chosen],
        auroc=None if auroc is None else auroc[chosen],
    )
