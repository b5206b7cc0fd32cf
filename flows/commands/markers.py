"""`cellstrata markers`: the genes that tell the clusters of a result from their sisters, and from all other cells."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import argparse

    from cellstrata.tasks.publishing.markers_parquet import ClusterMarkers
    from cellstrata.tasks.results.marker_genes import Markers

BEST = 5  # genes of a cluster that are shown
MOST_CLUSTERS = 40  # that are shown; the table has all


def markers(options: argparse.Namespace) -> int:
    """Find the marker genes of a result, write them beside it, and show the best; returns the exit code."""
    terminal = Terminal(as_json=options.as_json, verbose=False)
    with Attempt(terminal, interrupted="interrupted; nothing was written, run again") as attempt:
        from cellstrata.tasks.results.marker_genes import MarkerRequest, write_markers

        sealed = Sealed(storage_options(os.environ))
        url = sealed.url(options.result)
        request = MarkerRequest(
            layer=options.layer, raw=options.raw, normalize=options.normalize, method=options.method,
            against=tuple(dict.fromkeys(options.against)), columns=tuple(options.columns or ()),
            n_genes=options.n_genes, min_cells=options.min_cells,
        )  # fmt: skip
        with terminal.status(f"reading {url}") as say:
            found = write_markers(Place(url, sealed.options), request, say)
    if attempt.code:
        return attempt.code
    for notice in found.notices:
        terminal.notice(notice)
    if options.as_json:
        print(json.dumps(document(found)), flush=True)
    else:
        show(found, terminal)
    return DONE


def document(found: Markers) -> dict[str, Any]:
    """Return what `--json` prints: where the table is, and the best genes of each cluster."""
    clusters = [
        {
            "column": one.column, "cluster": one.cluster, "parent": one.parent, "against": one.against,
            "genes": [str(found.genes[gene]) for gene in one.found.genes[:BEST]],
            "scores": finite(one.found.scores[:BEST].tolist()),
        }
        for one in found.found
    ]  # fmt: skip
    return {
        "markers": found.table, "matrix": found.matrix, "holds": found.holds, "notices": list(found.notices),
        "clusters": clusters,
    }  # fmt: skip


def finite(scores: list[float]) -> list[float | None]:
    """Return scores as JSON knows them: infinite ones, of genes that do not vary, as null."""
    return [score if math.isfinite(score) else None for score in scores]


def show(found: Markers, terminal: Terminal) -> None:
    """Print a row for each cluster with its best genes, and where the table is."""
    by_cluster: dict[tuple[str, str], dict[str, ClusterMarkers]] = defaultdict(dict)
    for one in found.found:
        by_cluster[one.column, one.cluster][one.against] = one
    kinds = list(dict.fromkeys(one.against for one in found.found))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("column", "cluster", *(f"against {'all others' if kind == 'all' else kind}" for kind in kinds)):
        table.add_column(name, overflow="fold")
    for (column, cluster), tests in list(by_cluster.items())[:MOST_CLUSTERS]:
        genes = [", ".join(best(found, tests[kind])) if kind in tests else "" for kind in kinds]
        table.add_row(*map(escape, (column, cluster, *genes)))
    terminal.show(table)
    if len(by_cluster) > MOST_CLUSTERS:
        terminal.show(f"… and {len(by_cluster) - MOST_CLUSTERS:,} more clusters, which the table has")
    terminal.show(f"values  {escape(found.matrix)} holds {escape(found.holds)}")
    terminal.show(f"markers {escape(found.table)}")


def best(found: Markers, one: ClusterMarkers) -> list[str]:
    """Return the names of a cluster's best genes: of the first those that it has more of than the rest."""
    genes, changes = one.found.genes[:BEST], one.found.log_fold_changes[:BEST]
    return [str(found.genes[gene]) for gene, change in zip(genes, changes, strict=True) if change > 0]
