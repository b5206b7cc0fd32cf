"""The formats: a file of this room each, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from cellstrata.tasks.exports import cap, cell_type_mapper, cellxgene, newick, tables, treedata
from cellstrata.tasks.exports.format import Format

FORMATS: Mapping[str, Format] = {
    "h5ad": cellxgene.FORMAT,
    "cap": cap.FORMAT,
    "cell_type_mapper": cell_type_mapper.FORMAT,
    "treedata": treedata.FORMAT,
    "newick": newick.FORMAT,
    "csv": tables.CSV,
    "tsv": tables.TSV,
    "parquet": tables.PARQUET,
}
