"""Wilcoxon's rank-sum test and the AUROC, with ties, where most values are zero and are not stored.

Only what is not zero is sorted. All zeros of a gene are one group of ties, whose rank follows from their number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
AT_ONCE = 64  # genes of a thread


@dataclass(frozen=True, eq=False)
class Ranking:
    """Which cells are ranked together, and whose ranks are summed.

    `strata` (n,) int32: cells of one stratum are ranked among themselves; -1 is ranked nowhere. `groups` (n,) int32:
    ranks are summed by group, each within one stratum; -1 where nothing is summed.
    """

    strata: Codes
    groups: Codes
    n_strata: int
    n_groups: int

    @cached_property
    def sizes(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """How many cells each stratum and each group has, and in which stratum each group is."""
        groups = np.where(self.strata >= 0, self.groups, -1)
        within = np.zeros(self.n_groups, np.int64)
        within[groups[groups >= 0]] = self.strata[groups >= 0]
        strata = np.bincount(self.strata[self.strata >= 0], minlength=self.n_strata)
        return strata, np.bincount(groups[groups >= 0], minlength=self.n_groups), within

    @cached_property
    def whole(self) -> bool:
        """Whether all cells are in one stratum."""
        return self.n_strata == 1 and not (self.strata < 0).any()

    @cached_property
    def short(self) -> npt.NDArray[np.signedinteger[Any]]:
        """The strata in 16 bits where these are enough: NumPy sorts them seven times as fast."""
        return self.strata.astype(np.int16) if self.n_strata < 1 << 15 else self.strata


@dataclass(frozen=True, eq=False)
class RankSums:
    """Sums of ranks, (genes, groups), and Σ t³ - t over the groups of t ties, (genes, strata), both float64."""

    sums: Floats
    ties: Floats


def rank_sums(matrix: Any, rankings: Sequence[Ranking]) -> list[RankSums]:
    """Rank the cells of each gene, and sum the ranks by group, for each ranking.

    `matrix` is CSR, genes × cells, without stored zeros. Ranks begin with 1; those of equal values are their mean.
    """
    genes = matrix.shape[0]
    found = [RankSums(np.zeros((genes, r.n_groups)), np.zeros((genes, r.n_strata))) for r in rankings]
    sizes = [ranking.sizes for ranking in rankings]

    def some(first: int) -> None:
        for gene in range(first, min(first + AT_ONCE, genes)):
            own = slice(int(matrix.indptr[gene]), int(matrix.indptr[gene + 1]))
            values, cells = matrix.data[own], matrix.indices[own]
            order = np.argsort(values)  # equal values in any order: sums of their mean ranks are exact
            values, cells = values[order], cells[order]
            for ranking, of, into in zip(rankings, sizes, found, strict=True):
                _rank(values, cells, ranking, of, into.sums[gene], into.ties[gene])

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ranks") as threads:
        list(threads.map(some, range(0, genes, AT_ONCE)))
    return found


def _rank(
    values: npt.NDArray[Any],
    cells: npt.NDArray[Any],
    ranking: Ranking,
    sizes: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
    sums: Floats,
    ties: Floats,
) -> None:
    """Rank one gene's values, which are sorted and not zero, and write what its row of both tables is."""
    in_stratum, in_group, stratum_of = sizes
    strata = np.zeros(0, np.int16) if ranking.whole else ranking.short[cells]
    if not ranking.whole:
        order = np.argsort(strata, kind="stable")
        order = order[np.count_nonzero(strata < 0) :]
        values, cells, strata = values[order], cells[order], strata[order]
    below = values < 0
    if ranking.whole:
        stored, negative = (np.array([n], np.int64) for n in (len(values), np.count_nonzero(below)))
    else:
        stored, negative = (np.bincount(of, minlength=ranking.n_strata) for of in (strata, strata[below]))
    zeros = in_stratum - stored
    ties[:] = _cubes(zeros)
    if len(values):
        new = np.empty(len(values), bool)
        new[0] = True
        np.not_equal(values[1:], values[:-1], out=new[1:])
        if not ranking.whole:
            new[1:] |= strata[1:] != strata[:-1]
        starts = np.flatnonzero(new)
        lengths = np.diff(starts, append=len(values))
        of = np.zeros(len(starts), np.int16) if ranking.whole else strata[starts]
        before = np.cumsum(stored) - stored
        ranks = starts - before[of] + (lengths + 1) / 2 + np.where(values[starts] > 0, zeros[of], 0)
        ties += np.bincount(of, weights=_cubes(lengths), minlength=ranking.n_strata)
        groups, each = ranking.groups[cells], np.repeat(ranks, lengths)
        if int(groups.min()) < 0:
            groups, each = groups[groups >= 0], each[groups >= 0]
        sums[:] = np.bincount(groups, weights=each, minlength=ranking.n_groups)
        in_group = in_group - np.bincount(groups, minlength=ranking.n_groups)
    sums += in_group * (negative + (zeros + 1) / 2)[stratum_of]


def _cubes(t: npt.NDArray[np.integer[Any]]) -> Floats:
    """t³ - t; a power of floats takes ten times as long."""
    as_float = t.astype(np.float64)
    return as_float * as_float * as_float - as_float


def wilcoxon(sums: Floats, ties: Floats, n: int, n_rest: int) -> tuple[Floats, Floats, Floats]:
    """Return the z score, the two-sided p and the AUROC of each gene, for a group of `n` cells among `n + n_rest`.

    z = (R - n (N + 1) / 2) / √(c n n_rest (N + 1) / 12) with c = 1 - Σ(t³ - t) / (N³ - N): scanpy's `wilcoxon` with
    `tie_correct=True`. AUROC = (R - n (n + 1) / 2) / (n n_rest) is the chance that a cell of the group has more than
    one of the rest, ties counting half.
    """
    with IMPORTING:
        from scipy.special import ndtr

    whole = n + n_rest
    correction = 1 - ties / (float(whole) ** 3 - whole)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (sums - n * (whole + 1) / 2) / np.sqrt(correction * n * n_rest * (whole + 1) / 12)
    z = np.where(np.isnan(z), 0, z)
    return z, 2 * ndtr(-np.abs(z)), (sums - n * (n + 1) / 2) / (float(n) * n_rest)
