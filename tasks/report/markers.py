"""The table of marker genes: for each cluster the best against its sisters, and against all other cells."""

from __future__ import annotations

from cellstrata.tasks.publishing.markers_parquet import ClusterMarkers
from cellstrata.tasks.report.tables import Cell, Table
from cellstrata.tasks.results.marker_genes import Markers

BEST = 8  # genes of a cluster
MOST_ROWS = 600  # clusters; the file has all
NAMES = {"sisters": "its sisters", "all": "all others"}


def markers_table(found: Markers) -> Table:
    """Return a row for each cluster and what it was compared with, with its best genes that it has more of."""
    caption = (
        f"Marker genes, the best first, in {found.matrix}: the share of the cluster's cells that express a gene, of "
        f"those compared with it. {found.table.rpartition('/')[2]} has more genes, and all numbers."
    )
    both = {one.against for one in found.found} == set(NAMES)
    told = [one for one in found.found if one.parent or not both or one.against == "all"]  # at level 1 they are one
    if len(told) > MOST_ROWS:
        caption += f" The first {MOST_ROWS} of {len(told):,} comparisons are here."
    names = ("column", "cluster", "compared with", "genes")
    return Table(caption, names, [_row(found, one) for one in told[:MOST_ROWS]])


def _row(found: Markers, one: ClusterMarkers) -> list[Cell]:
    ranked, shown = one.found, []
    for at in range(min(BEST, len(ranked.genes))):
        if ranked.log_fold_changes[at] > 0:
            name = str(found.genes[ranked.genes[at]])
            shown.append(f"{name} ({ranked.shares[at]:.0%}, {ranked.shares_of_rest[at]:.0%})")
    against = NAMES[one.against]
    genes = ", ".join(shown) or "none that it has more of"
    return [Cell(one.column), Cell(one.cluster, one.cluster), Cell(against, against), Cell(genes, genes)]
