"""Marker genes of the clusters in an AnnData in memory: the numbers of the command `markers`, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.expression.adata_source import adata_expression
from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.markers.contrasts import contrasts
from cellstrata.tasks.publishing.markers_parquet import markers_table
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.marker_genes import FEWEST, MarkerRequest, cluster_markers
from cellstrata.tasks.results.marker_tests import compare, read_parts
from cellstrata.tasks.stores.data_errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class AdataMarkers:
    """One row a marker, columns as in `markers.parquet`, and what the user should know."""

    table: pd.DataFrame
    notices: tuple[str, ...]


def markers_of(record: AdataRecord, request: MarkerRequest, say: Callable[[str], object]) -> AdataMarkers:
    """Compare the clusters that are asked for; `say` is told what is done.

    Raises
    ------
    InputError
        If there is no such column, layer or raw, if nothing can be compared, or the values are not what `normalize`
        says.
    """
    names = [record.column(name) for name in dict.fromkeys(request.columns)] or record.columns
    columns = [record.clusters(name) for name in names]
    asked, left_out = contrasts(columns, request.against, max(request.min_cells, FEWEST))
    if not asked:
        raise InputError(NAME, "", "; ".join(["nothing can be compared", *left_out]))
    logs = Logs(adata_expression(record.adata, request), normalize=request.normalize)
    tests = compare(logs, read_parts(logs, columns), asked, method=request.method, n_genes=request.n_genes, say=say)
    found = cluster_markers(columns, asked, tests)
    table: pd.DataFrame = markers_table(found, logs.expression.genes).to_pandas()
    return AdataMarkers(table, (*left_out, *logs.notices))
