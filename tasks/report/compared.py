"""What clusters are composed of: counts of cells by cluster and covariate, and how well the two agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.evaluation.agreement import Agreement, agreement, contingency
from cellstrata.tasks.evaluation.composition import composition
from cellstrata.tasks.evaluation.covariates import Categories, Covariate, Numbers
from cellstrata.tasks.report.clusters import Grown

BINS = 24  # of the histograms of numbers
OUTSIDE = 0.5  # per cent of the numbers at either end that fall into the outermost bins


@dataclass(frozen=True)
class Binned:
    """A covariate as codes (n,) int32 of `n_values` values, -1 for none; numbers by bins of equal width.

    `low` and `high` are where the bins of numbers begin and end, `least` and `most` the numbers themselves.
    """

    name: str
    codes: npt.NDArray[np.int32]
    n_values: int
    low: float = 0.0
    high: float = 0.0
    least: float = 0.0
    most: float = 0.0


def binned(covariate: Covariate) -> Binned:
    """Put the numbers of a covariate into bins; categories stay as they are."""
    if isinstance(covariate, Categories):
        return Binned(covariate.name, covariate.codes, len(covariate.labels))
    values = covariate.values
    there = np.isfinite(values)
    if not there.any():
        return Binned(covariate.name, np.full(len(values), -1, np.int32), BINS)
    low, high = np.percentile(values[there], [OUTSIDE, 100 - OUTSIDE])
    least, most = float(values[there].min()), float(values[there].max())
    if low == high:  # nearly all are the same, as of a gene that few cells have
        low, high = least, most
    width = (high - low) / BINS or 1.0
    codes = np.full(len(values), -1, np.int32)
    codes[there] = np.clip((values[there] - low) / width, 0, BINS - 1).astype(np.int32)
    return Binned(covariate.name, codes, BINS, float(low), float(high), least, most)


@dataclass(frozen=True)
class Compared:
    """A tree and a covariate: how many cells each of the tree's clusters has of its own (not those of its
    children) by value, (clusters, values) int64, and of numbers their sums, (clusters,) float64."""

    tree: Grown
    covariate: Covariate
    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64] | None

    def by_column(self, column: str) -> npt.NDArray[np.int64]:
        """Return the counts of the clusters of a column, in their order, with all that is below them."""
        above = self.tree.ancestors(column)
        places = np.flatnonzero([row["column"] == column for row in self.tree.clusters])
        table = np.zeros((len(self.tree.clusters), self.counts.shape[1]), np.int64)
        np.add.at(table, above[above >= 0], self.counts[above >= 0])
        return table[places]

    def entries(self) -> npt.NDArray[np.int64]:
        """Return the counts that are not zero as (m, 3): cluster (steps from the one before), value, cells."""
        clusters, values = np.nonzero(self.counts)
        return np.stack([np.diff(clusters, prepend=0), values, self.counts[clusters, values]])


def compare(tree: Grown, covariate: Covariate, bins: Binned) -> Compared:
    """Count the cells of each cluster of a tree by the values of a covariate."""
    n = len(tree.clusters)
    sums: npt.NDArray[np.float64] | None = None
    if isinstance(covariate, Numbers):
        both = (tree.leaves >= 0) & np.isfinite(covariate.values)
        sums = np.bincount(tree.leaves[both], covariate.values[both], n).astype(np.float64)
    return Compared(tree, covariate, contingency(tree.leaves, bins.codes, n, bins.n_values), sums)


@dataclass(frozen=True)
class Agreeing:
    """How well a cluster column and a covariate agree, and its clusters of which at least 90 % have one value."""

    column: str
    covariate: str
    agreement: Agreement
    from_one: tuple[str, ...]


def agreements(compared: Sequence[Compared]) -> list[Agreeing]:
    """Return the agreement of every cluster column with every covariate of categories."""
    found = []
    for one in compared:
        if isinstance(one.covariate, Categories) and one.covariate.labels:
            for column in one.tree.columns:
                table = one.by_column(column)
                labels = [row["cluster"] for row in one.tree.clusters if row["column"] == column]
                alone = tuple(labels[at] for at in np.flatnonzero(composition(table).from_one))
                found.append(Agreeing(column, one.covariate.name, agreement(table), alone))
    return found


def document(covariate: Covariate, bins: Binned) -> dict[str, object]:
    """Return a covariate as JSON values."""
    missing = int((bins.codes < 0).sum())
    if isinstance(covariate, Categories):
        return {
            "name": covariate.name, "labels": list(covariate.labels), "cells": covariate.counts().tolist(),
            "color": [covariate.colors[label] for label in covariate.labels], "missing": missing,
        }  # fmt: skip
    return {
        "name": covariate.name, "low": bins.low, "high": bins.high, "least": bins.least, "most": bins.most,
        "bins": bins.n_values, "missing": missing,
    }  # fmt: skip
