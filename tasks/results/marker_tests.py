"""The tests that find markers: one pass over the values for the moments of all clusters, for ranks a few more."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cellstrata.configs.markers import Method
from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.expression.gene_blocks import gene_blocks
from cellstrata.tasks.markers.contrasts import ClusterColumn, Contrast
from cellstrata.tasks.markers.leaves import LeafSet, leaf_sets
from cellstrata.tasks.markers.moments import Group, Moments, moments
from cellstrata.tasks.markers.rank_sums import Ranking, rank_sums, wilcoxon
from cellstrata.tasks.markers.ranked_genes import RankedGenes, ranked_genes
from cellstrata.tasks.markers.t_test import welch

Floats = npt.NDArray[np.float64]


def read_parts(logs: Logs, columns: Sequence[ClusterColumn]) -> Parts:
    """Go through the values once, and return the moments of all that the clusters of these columns are made of.

    Raises
    ------
    InputError
        If the values are not what was said of them, or zeros alone.
    """
    sets = leaf_sets([column.codes for column in columns])
    found = moments(logs.blocks(), [leaves.codes for leaves in sets], logs.expression.shape[1])
    return Parts(tuple(columns), sets, found)


def compare(
    logs: Logs,
    parts: Parts,
    asked: Sequence[Contrast],
    *,
    method: Method,
    n_genes: int,
    say: Callable[[str], object],
) -> list[RankedGenes]:
    """Return the best genes of each contrast of clusters of `parts`, in their order; ranks go through the values again.

    Raises
    ------
    InputError
        If the values have become others.
    """
    # What is compared with the same cells twice, as clusters of level 1 with all, and those left whole, is tested once.
    distinct = {parts.key(contrast): contrast for contrast in asked}
    ranks = rank_tables(logs, parts, list(distinct.values()), say) if method == "wilcoxon" else None
    say(f"comparing {len(asked):,} clusters")

    def one(contrast: Contrast) -> RankedGenes:
        group, rest = parts.pair(contrast)
        if ranks is not None:
            sums, ties = ranks.of(contrast)
            z, p, auroc = wilcoxon(sums, ties, group.n, rest.n)
            return ranked_genes(group, rest, z, p, n_genes=n_genes, log_base=logs.log_base, auroc=auroc)
        t, p = welch(group, rest, overestimate=method == "t-test_overestim_var")
        return ranked_genes(group, rest, t, p, n_genes=n_genes, log_base=logs.log_base)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="markers") as threads:
        results = dict(zip(distinct, threads.map(one, distinct.values()), strict=True))
    return [results[parts.key(contrast)] for contrast in asked]


@dataclass(frozen=True, eq=False)
class Parts:
    """Columns of clusters, the leaves they are made of, and the moments of these."""

    columns: tuple[ClusterColumn, ...]
    sets: tuple[LeafSet, ...]
    found: tuple[Moments, ...]

    def place(self, column: int) -> int:
        """Return the number of the leaf set of a column."""
        return next(number for number, leaves in enumerate(self.sets) if column in leaves.columns)

    def leaves(self, contrast: Contrast) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the leaves of the cluster, and those of what it is compared with."""
        leaves = self.sets[self.place(contrast.column)]
        own = leaves.leaves(contrast.column, [contrast.cluster])
        if contrast.against == "all":
            return own, np.setdiff1d(np.arange(leaves.n_leaves), own)
        return own, leaves.leaves(contrast.column, self.columns[contrast.column].sisters(contrast.cluster))

    def key(self, contrast: Contrast) -> tuple[int, bytes, bytes]:
        """Return what two contrasts of the same cells have in common."""
        own, rest = self.leaves(contrast)
        return self.place(contrast.column), own.tobytes(), rest.tobytes()

    def pair(self, contrast: Contrast) -> tuple[Group, Group]:
        """Return the moments of the cluster, and of what it is compared with."""
        own, rest = self.leaves(contrast)
        place = self.place(contrast.column)
        group = self.found[place].group(own)
        if len(own) + len(rest) == self.sets[place].n_leaves:
            return group, self.totals[place].without(group)
        return group, self.found[place].group(rest)

    @cached_property
    def totals(self) -> tuple[Group, ...]:
        """The moments of all cells, of each leaf set."""
        return tuple(found.all() for found in self.found)


@dataclass(frozen=True, eq=False)
class RankTables:
    """Sums of ranks among all cells by leaf, of each leaf set, and among sisters by cluster, of each column."""

    parts: Parts
    among_all: dict[int, tuple[Floats, Floats]]
    among_sisters: dict[int, tuple[Ranking, Floats, Floats]]

    def of(self, contrast: Contrast) -> tuple[Floats, Floats]:
        """Return a cluster's sums of ranks, and the ties of the cells that were ranked together, (genes,) each."""
        if contrast.against == "all":
            sums, ties = self.among_all[self.parts.place(contrast.column)]
            return sums[:, self.parts.leaves(contrast)[0]].sum(axis=1), ties[:, 0]
        ranking, sums, ties = self.among_sisters[contrast.column]
        return sums[:, contrast.cluster], ties[:, ranking.sizes[2][contrast.cluster]]


def rank_tables(
    logs: Logs, parts: Parts, asked: Sequence[Contrast], say: Callable[[str], object] = lambda text: None
) -> RankTables:
    """Rank the cells of each gene for the contrasts that are asked for, by blocks of genes."""
    genes = logs.expression.shape[1]
    sets = sorted({parts.place(of.column) for of in asked if of.against == "all"})
    columns = sorted({of.column for of in asked if of.against == "sisters"})
    rankings = [_among_all(parts.sets[number]) for number in sets]
    rankings += [_among_sisters(parts.columns[column]) for column in columns]
    tables = [(np.zeros((genes, of.n_groups)), np.zeros((genes, of.n_strata))) for of in rankings]
    expressing = parts.found[0].expressing.sum(axis=1, dtype=np.int64)
    for run, matrix in gene_blocks(logs, expressing):
        say(f"ranking genes {run.start + 1:,} to {run.stop:,} of {genes:,}")
        for (sums, ties), of in zip(tables, rank_sums(matrix, rankings), strict=True):
            sums[run], ties[run] = of.sums, of.ties
        del matrix  # before the next is put together
    by_column = zip(columns, rankings[len(sets) :], tables[len(sets) :], strict=True)
    return RankTables(
        parts,
        dict(zip(sets, tables, strict=False)),
        {column: (ranking, *table) for column, ranking, table in by_column},
    )


def _among_all(leaves: LeafSet) -> Ranking:
    return Ranking(np.zeros_like(leaves.codes), leaves.codes, 1, leaves.n_leaves)


def _among_sisters(column: ClusterColumn) -> Ranking:
    parents = {parent: number for number, parent in enumerate(dict.fromkeys(column.parents))}
    of = np.array([*(parents[parent] for parent in column.parents), -1], np.int32)  # the last is for cells without one
    return Ranking(of[column.codes], column.codes, len(parents), len(column.labels))
