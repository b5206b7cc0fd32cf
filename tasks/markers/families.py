"""Families: the children of one parent, and the genes by which they are shown beside one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellstrata.configs.markers import Against
from cellstrata.tasks.markers.contrasts import ClusterColumn, Contrast
from cellstrata.tasks.markers.ranked_genes import RankedGenes

# The scheme of the cache's markers rises with these two.
BEST = 5  # genes of a cluster and comparison
MOST = 60  # sisters that are shown, the largest


@dataclass(frozen=True, eq=False)
class Family:
    """The children of one parent in a column.

    `column` and `clusters` are numbers, `left_out` is how many more sisters there are. `genes` (g,) int64 are the best
    of any of them, places among all genes, each once. `best` has for each comparison and each of `clusters` the
    positions in `genes` of its own, the best first; none for a cluster that is not compared.
    """

    column: int
    parent: str
    clusters: tuple[int, ...]
    left_out: int
    genes: npt.NDArray[np.int64]
    best: Mapping[Against, tuple[tuple[int, ...], ...]]

    @property
    def shape(self) -> tuple[int, int]:
        """Its genes, and its clusters with all cells of the data behind them: the shape of a table of its values."""
        return len(self.genes), len(self.clusters) + 1


def families(
    columns: Sequence[ClusterColumn], compared: Sequence[Contrast], ranked: Sequence[RankedGenes]
) -> list[Family]:
    """Return the families of two clusters and more that have a gene to show, column by column.

    `ranked` are the best genes of each contrast of `compared`; of those a cluster has more of, the first 5 are its own.
    So a family of c clusters has up to 10 c genes.
    """
    own: dict[tuple[int, int, Against], list[int]] = {}
    for of, found in zip(compared, ranked, strict=True):
        own[of.column, of.cluster, of.against] = found.genes[found.log_fold_changes > 0][:BEST].tolist()
    kinds = list(dict.fromkeys(of.against for of in compared))
    made = []
    for place, column in enumerate(columns):
        for parent, children in column.children.items():
            largest = sorted(children, key=lambda cluster: -column.sizes[cluster])[:MOST]
            clusters = tuple(sorted(largest))
            lists = {kind: [own.get((place, cluster, kind), []) for cluster in clusters] for kind in kinds}
            genes = list(dict.fromkeys(gene for kind in kinds for each in lists[kind] for gene in each))
            if len(clusters) < 2 or not genes:
                continue
            at = {gene: number for number, gene in enumerate(genes)}
            best = {kind: tuple(tuple(at[gene] for gene in each) for each in lists[kind]) for kind in kinds}
            more = len(children) - len(clusters)
            made.append(Family(place, parent, clusters, more, np.array(genes, np.int64), best))
    return made
