"""What can be said to the commands that take results further: compare them, name their clusters."""

from __future__ import annotations

import argparse
from typing import Any

# Of tasks/exports/formats.py, which the parser does not load.
FORMATS = ("h5ad", "cap", "treedata", "cell_type_mapper", "newick", "csv", "tsv", "parquet")

COMPARE_EPILOG = """\
examples:
  cellstrata compare result.zarr --columns leiden_0.2_2 leiden_0.5_2
  cellstrata compare result.zarr --columns leiden_0.5_2 cell_type --html page.html
  cellstrata compare 2025.zarr 2026.zarr                 columns that both have
  cellstrata compare atlas.h5ad labels.parquet --columns cell_type leiden_0.5_1

A column is any of obs that groups cells. Of two files the cells are compared
whose names both have. Cells without a value in either column are left out, and
counted."""


def add_compare(commands: Any) -> None:
    """Add the command `compare`."""
    compare = commands.add_parser(
        "compare", help="say how two columns, or two results, agree", allow_abbrev=False, epilog=COMPARE_EPILOG,
        usage="cellstrata compare RESULT [OTHER] [--columns NAME NAME] [options]; --help lists them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    compare.add_argument("result", metavar="RESULT", help="an h5ad, a zarr or a labels.parquet, a path or URL")
    compare.add_argument("other", metavar="OTHER", nargs="?", help="another of the same cells")
    compare.add_argument(
        "--columns", nargs="+", metavar="NAME",
        help="obs columns: two or more of one result; one of both, or one of each, of two",
    )  # fmt: skip
    compare.add_argument("--html", metavar="FILE", help="write a page with pictures and tables there")
    compare.add_argument("--figure", metavar="FILE", help="draw heat map and flow there, a .png or .svg")
    compare.add_argument("--cells", metavar="FILE", help="write the similarity of each cell there, a .parquet")
    compare.add_argument("--overwrite", action="store_true", help="replace files that are there")
    compare.add_argument("--json", action="store_true", dest="as_json", help="print all numbers as JSON")
    compare.set_defaults(run=".compare:compare")


CURATE_EPILOG = """\
examples:
  cellstrata curate result.zarr curation.yaml                   check it
  cellstrata curate result.zarr curation.yaml --output atlas.zarr

curation.yaml:
  curator: Jane Doe
  columns:
    leiden_0.5_2:
      merge: [["0_1", "0_2"]]
      clusters:
        "0_1": {name: CD4 T cell, ontology: "CL:0000624", color: "#1f77b4"}
        "3_1": AT2"""


def add_curate(commands: Any) -> None:
    """Add the command `curate`."""
    curate = commands.add_parser(
        "curate", help="give names to the clusters of a result", allow_abbrev=False, epilog=CURATE_EPILOG,
        usage="cellstrata curate RESULT CURATION [--output OUT] [--overwrite]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    curate.add_argument("result", metavar="RESULT", help="a result of `run` or `cluster`; it stays as it is")
    curate.add_argument("curation", metavar="CURATION", help="a YAML file with names, terms, colors and merges")
    curate.add_argument("--output", metavar="OUT", help="a .zarr or .h5ad with all, or a .parquet with the new columns")
    curate.add_argument("--overwrite", action="store_true", help="replace a result of cellstrata, or a .parquet")
    curate.set_defaults(run=".curate:curate", takes="result curation output overwrite")


TRACE_EPILOG = """\
examples:
  cellstrata trace out                    the run that wrote out/clustering/run.json
  cellstrata trace s3://atlas/out --output trace.json

The trace opens at https://ui.perfetto.dev, which keeps it in your browser, or at
chrome://tracing: a lane for each process, and how many pieces of work waited."""


def add_trace(commands: Any) -> None:
    """Add the command `trace`."""
    trace = commands.add_parser(
        "trace", help="show what a run did and when", allow_abbrev=False, epilog=TRACE_EPILOG,
        usage="cellstrata trace RUN [--output FILE] [--overwrite]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    trace.add_argument("record", metavar="RUN", help="the output_dir of a run, or its run.json, a path or URL")
    trace.add_argument("--output", metavar="FILE", help="where the trace goes (default: beside run.json)")
    trace.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    trace.set_defaults(run=".trace:trace", takes="record output overwrite")


EXPORT_EPILOG = """\
formats:
  h5ad              an AnnData for CELLxGENE and other viewers
  cap               an AnnData for the Cell Annotation Platform (.h5ad)
  treedata          an AnnData with trees, for scverse's treedata (.h5td)
  cell_type_mapper  a taxonomy for cell_type_mapper, MapMyCells (.json)
  newick            trees as text, for R's ape, iTOL and others (.nwk)
  csv, tsv, parquet labels, a row for each cell

examples:
  cellstrata export result.zarr --to h5ad --output atlas.h5ad
  cellstrata export result.zarr --to newick --columns leiden_0.5_3

Nothing that is there is replaced. Of clusters that have names (`curate`), trees
have these; in a tree a column stands for all levels down to it."""


def add_export(commands: Any) -> None:
    """Add the command `export`."""
    export = commands.add_parser(
        "export", help="write a result in the format of another program", allow_abbrev=False, epilog=EXPORT_EPILOG,
        usage="cellstrata export RESULT --to FORMAT [--output FILE] [--columns NAME …] [--ids]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    export.add_argument("result", metavar="RESULT", help="a result of `run`, `cluster` or `curate`; it stays as it is")
    export.add_argument("--to", metavar="FORMAT", required=True, choices=FORMATS, help=", ".join(FORMATS))
    export.add_argument("--output", metavar="FILE", help="the file to write (default: the result's name, here)")
    export.add_argument("--columns", nargs="+", metavar="NAME", help="columns of clusters (default: all)")
    export.add_argument("--ids", action="store_true", help="trees of clusters by id, though they have names")
    export.set_defaults(run=".export:export", takes="result to output columns ids")
