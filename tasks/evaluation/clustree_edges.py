"""How clusters of one column pass into those of the next, as in a clustree (L. Zappia and A. Oshlack, 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from cellstrata.tasks.evaluation.agreement import Codes, contingency


class Edge(NamedTuple):
    """Cells that are in cluster `source` of one column and in `target` of the next.

    `of_source` and `of_target` are their shares of both clusters' cells.
    """

    source_column: str
    source: str
    target_column: str
    target: str
    n_cells: int
    of_source: float
    of_target: float


def clustree_edges(
    columns: Sequence[str], codes: Mapping[str, Codes], labels: Mapping[str, Sequence[str]]
) -> list[Edge]:
    """Return the edges between each of these columns and the one after it, largest first within each pair.

    `codes` are (n,) indices into a column's `labels`, negative where a cell has none.
    """
    edges = []
    for above, below in pairwise(columns):
        table = contingency(codes[above], codes[below], len(labels[above]), len(labels[below]))
        sources, targets = table.sum(axis=1), table.sum(axis=0)
        pairs = sorted(zip(*table.nonzero(), strict=True), key=lambda pair: (-table[pair], pair))
        edges += [
            Edge(
                above, labels[above][i], below, labels[below][j], int(table[i, j]),
                float(table[i, j] / sources[i]), float(table[i, j] / targets[j]),
            )
            for i, j in pairs
        ]  # fmt: skip
    return edges
