"""What cells are compared with: obs columns as figures have them, of which a page has room for so many categories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from cellstrata.tasks.elements.reading import Root, obs_columns
from cellstrata.tasks.evaluation.covariates import Categories, Covariate, read_covariate

MOST = 250  # categories that are told apart; a code fits a byte
OTHER = "#8c9298"


def read_covariates(root: Root, names: Iterable[str]) -> tuple[list[Covariate], list[str]]:
    """Read those of the named columns that obs has; return them, and the names of the others."""
    there = set(obs_columns(root))
    wanted = list(dict.fromkeys(names))
    found = [rarest_as_one(read_covariate(root, name)) for name in wanted if name in there]
    return found, [name for name in wanted if name not in there]


def rarest_as_one(covariate: Covariate) -> Covariate:
    """Return a covariate with no more than 250 categories: beyond, the rarest are one, which comes last."""
    if not isinstance(covariate, Categories) or len(covariate.labels) <= MOST:
        return covariate
    order = np.argsort(-covariate.counts(), kind="stable")
    common = np.sort(order[: MOST - 1])
    lookup = np.full(len(covariate.labels) + 1, MOST - 1, dtype=np.int32)
    lookup[common] = np.arange(MOST - 1)
    lookup[-1] = -1
    last = f"{len(covariate.labels) - MOST + 1:,} rarer ones"
    labels = (*(covariate.labels[at] for at in common), last)
    colors: Mapping[str, str] = {**covariate.colors, last: OTHER}
    return replace(covariate, codes=lookup[covariate.codes], labels=labels, colors=colors)
