"""What can be said to the command `cellstrata`, and what `--help` answers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from cellstrata.flows.options.results_parser import add_compare, add_curate, add_export, add_trace

DESCRIPTION = """\
Cluster single-cell atlases at many resolutions and levels of sub-clustering.
Every cluster that is split is a cached unit of work: what is known is never
computed again."""

EPILOG = """\
examples:
  cellstrata demo                         the bundled example, ready to run
  cellstrata run config.yaml              everything that the file asks for
  cellstrata plan config.yaml             what that would compute
  cellstrata advise config.yaml           which resolution to take
  cellstrata cluster in.h5ad level1.zarr  one resolution, one level
  cellstrata collect a.zarr b.zarr --output labels.csv
  cellstrata explain result.zarr --cluster 3_1
  cellstrata markers result.zarr          marker genes of every cluster
  cellstrata compare a.zarr b.zarr        how two results agree
  cellstrata curate r.zarr names.yaml     names for its clusters
  cellstrata trace out                    what the run did, and when
  cellstrata export r.zarr --to newick    for another program
  cellstrata materialize r.zarr copy.zarr a copy that needs no input
  cellstrata ui                           a Prefect server for you alone
  cellstrata deploy config.yaml --schedule "0 3 * * *"   every night
  cellstrata serve config.yaml --watch 300               when an input changes
  cellstrata cache prune --max_size 50GB  what was used least recently goes
  cellstrata migrate old.yaml > new.yaml  one of scAtlasTb, rewritten
  cellstrata run config.yaml --workers 4 \\
      --DATASETS.lung.clustering.resolutions "[0.2, 1]"
  cellstrata schema > cellstrata.schema.json for your editor

exit codes:
  0 done, 1 something failed (run again to resume), 2 the input is wrong"""

RUN_EPILOG = """\
Every key of the configuration is an option too, and goes over the file and the
environment (CELLSTRATA_WORKERS=4): --workers 4, --runner threads, --refresh,
--output_dir URL, --cache URL, --seed 1 (of every dataset),
--DATASETS.lung.clustering.seed 1 (of one). All keys: docs/configuration.md."""

KEYS_BESIDE = "verbose"  # a command with this option takes every key of the configuration as an option too

CLUSTER_EPILOG = """\
examples:
  cellstrata cluster input.h5ad level1.zarr --resolution 1.0 --algorithm leiden
  cellstrata cluster level1.zarr level2.zarr --resolution 0.5 --level 2 \\
      --threads 4 --neighbors_args '{"n_neighbors": 15, "use_rep": "X_pca"}'
  cellstrata cluster input.h5ad out.zarr --resolution 0.8 --overwrite \\
      --clustering_args '{"n_iterations": 5, "flavor": "igraph"}'

The cache is that of `run`: the user's cache directory, or CELLSTRATA_CACHE."""

MARKERS_EPILOG = """\
examples:
  cellstrata markers result.zarr                        X holds logarithms
  cellstrata markers result.zarr --layer counts --normalize
  cellstrata markers result.zarr --raw --method wilcoxon --against sisters

Every cluster is compared with its sisters, the other children of its parent,
and with all other cells. The table is written beside the result:
result/markers.parquet."""

PRUNE_EPILOG = """\
What was used least recently goes first; what a run uses now stays, and so does
all that is not cellstrata's. Whatever is removed is computed again, with the
same labels, when a run needs it.
In a bucket, an entry counts as used when it was written."""


COMPLETION_EPILOG = """\
bash: mkdir -p ~/.local/share/bash-completion/completions
      cellstrata completion bash \\
        > ~/.local/share/bash-completion/completions/cellstrata
zsh:  mkdir -p ~/.zsh; cellstrata completion zsh > ~/.zsh/_cellstrata
      and in ~/.zshrc, before compinit: fpath=(~/.zsh $fpath)"""


def command_parser() -> argparse.ArgumentParser:
    """Make the parser. Each command leaves in `run` where its function is, and in `takes` which options that takes."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "cellstrata", allow_abbrev=False, description=DESCRIPTION, epilog=EPILOG, formatter_class=shape
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    configured: dict[str, Any] = {"epilog": RUN_EPILOG, "formatter_class": shape, "allow_abbrev": False}
    run = commands.add_parser(
        "run", help="cluster what a configuration file asks for", **configured,
        usage="cellstrata run CONFIG [--json] [--verbose | --quiet] [--any_key value]",
    )  # fmt: skip
    run.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/examples")
    run.set_defaults(run=".run:run", takes="config overrides json verbose quiet")
    plan = commands.add_parser(
        "plan", help="say what `run` would compute and what comes from the cache", **configured,
        usage="cellstrata plan CONFIG [--json] [--verbose] [--any_key value …]",
    )  # fmt: skip
    plan.add_argument("config", metavar="CONFIG", help="the YAML file of `run`")
    plan.set_defaults(run=".plan:plan", takes="config overrides json verbose")
    advise = commands.add_parser(
        "advise", help="sweep over resolutions, and say which to take", **configured,
        usage="cellstrata advise CONFIG [--chart FOLDER] [--json] [--verbose | --quiet] [--any_key value …]",
    )  # fmt: skip
    advise.add_argument("config", metavar="CONFIG", help="the YAML file of `run`")
    advise.add_argument("--chart", metavar="FOLDER", default="", help="draw the sweep of each dataset there")
    advise.set_defaults(run=".advise:advise", takes="config overrides json verbose quiet chart")
    demo = commands.add_parser("demo", help="run the bundled example on 700 blood cells", allow_abbrev=False)
    demo.add_argument("--folder", default="cellstrata-demo", help="where its files go (default: %(default)s)")
    demo.set_defaults(run=".demo:demo", takes="folder overrides json verbose quiet")
    for command in (run, plan, advise, demo):
        command.add_argument("--json", action="store_true", help="print the summary as JSON, on the last line")
        command.add_argument("--verbose", action="store_true", help="show the log of every step")
    for command in (run, advise, demo):
        command.add_argument("--quiet", action="store_true", help="show no progress")
    _add_cluster(commands)
    collect = commands.add_parser(
        "collect", help="put the obs columns of several results together", allow_abbrev=False,
        usage="cellstrata collect RESULT [RESULT …] --output FILE [--overwrite]",
    )  # fmt: skip
    collect.add_argument("results", metavar="RESULT", nargs="+", help="results of `run` or `cluster`")
    collect.add_argument("--output", required=True, help="labels.parquet, .csv or .tsv, or atlas.zarr")
    collect.add_argument("--overwrite", action="store_true", help="replace an existing output")
    collect.set_defaults(run=".collect:collect", takes="results output overwrite")
    explain = commands.add_parser(
        "explain", help="say how a cluster came to be", allow_abbrev=False,
        usage="cellstrata explain RESULT [--cluster 3_1] [--column NAME] [--json]",
    )  # fmt: skip
    explain.add_argument("result", metavar="RESULT", help="a result of `run`, `cluster` or `collect`")
    explain.add_argument("--cluster", metavar="LABEL", help="its label, 3_1 or leiden_0.5:3_1; without it, level 1")
    explain.add_argument("--column", metavar="NAME", help="obs column, where several have a cluster of this label")
    explain.add_argument("--json", action="store_true", dest="as_json", help="print all that is recorded, as JSON")
    explain.set_defaults(run=".explain:explain", takes="result cluster column as_json")
    _add_markers(commands)
    add_compare(commands)
    add_curate(commands)
    add_trace(commands)
    add_export(commands)
    materialize = commands.add_parser(
        "materialize", help="copy a result with all that it links or refers to", allow_abbrev=False,
        usage="cellstrata materialize RESULT DEST [--overwrite]",
    )  # fmt: skip
    materialize.add_argument("result", metavar="RESULT", help="a result of `run`, `cluster` or `collect`")
    materialize.add_argument("destination", metavar="DEST", help="a .zarr or .h5ad that needs nothing else")
    materialize.add_argument("--overwrite", action="store_true", help="replace an existing result")
    materialize.set_defaults(run=".materialize:materialize", takes="result destination overwrite")
    _add_deployments(commands)
    _add_cache(commands)
    migrate = commands.add_parser(
        "migrate", help="print a configuration of scAtlasTb as one of cellstrata", allow_abbrev=False
    )
    migrate.add_argument("config", metavar="OLD", help="the YAML file")
    migrate.set_defaults(run=".migrate:migrate", takes="config")
    schema = commands.add_parser("schema", help="print the JSON schema of the configuration")
    schema.set_defaults(run=".schema:schema", takes="")
    completion = commands.add_parser(
        "completion", help="print what lets your shell complete commands and options", allow_abbrev=False,
        epilog=COMPLETION_EPILOG, formatter_class=shape,
    )  # fmt: skip
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), metavar="SHELL", help="bash, zsh or tcsh")
    completion.set_defaults(run=".completion:completion", takes="shell")
    return parser


def _add_cluster(commands: Any) -> None:
    cluster = commands.add_parser(
        "cluster", help="cluster at one resolution, one level", allow_abbrev=False, epilog=CLUSTER_EPILOG,
        usage="cellstrata cluster INPUT OUTPUT [options]; --help lists them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    number, json_text = {"metavar": "N"}, {"metavar": "JSON"}
    cluster.add_argument("input_file", metavar="INPUT", help="h5ad or zarr, a path or URL")
    cluster.add_argument("output_file", metavar="OUTPUT", help="a zarr, a path or URL")
    for name, default, more in (
        ("resolution", "1.0", {"metavar": "R", "help": "resolution"}),
        ("algorithm", "leiden", {"metavar": "NAME", "help": "leiden or louvain"}),
        ("level", "1", number | {"help": "hierarchical level: 2 splits the clusters of level 1"}),
        ("threads", "1", number | {"help": "parallel processes"}),
        ("ensemble", "1", {"metavar": "N", "help": "runs of Leiden to join, or auto"}),
        ("max_cluster_factor", "50", number | {"help": "more clusters than this times the resolution: repeat on CPU"}),
        ("clustering_args", "{}", json_text | {"help": "further clustering arguments"}),
        ("neighbors_key", None, {"metavar": "KEY", "help": "stored graph, by its key in uns (default: neighbors)"}),
        ("neighbors_args", "{}", json_text | {"help": "graph arguments: n_neighbors, use_rep, metric, n_pcs"}),
        ("n_cell_cpu", "100000", number | {"help": "below this many cells the CPU is used"}),
        ("parent_key", None, {"metavar": "COLUMN", "help": "obs column of the level above, where several fit"}),
    ):
        if default is not None:
            more = more | {"help": f"{more['help']} (default: {default})"}
        cluster.add_argument(f"--{name}", default=default, **more)
    cluster.add_argument("--overwrite", action="store_true", help="replace an existing column or result")
    cluster.set_defaults(run=".cluster:cluster")


def _add_markers(commands: Any) -> None:
    markers = commands.add_parser(
        "markers", help="find the marker genes of every cluster", allow_abbrev=False, epilog=MARKERS_EPILOG,
        usage="cellstrata markers RESULT [--layer NAME | --raw] [--normalize] [options]; --help lists them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    markers.add_argument("result", metavar="RESULT", help="a result of `run`, `cluster` or `collect`")
    values = markers.add_mutually_exclusive_group()
    values.add_argument("--layer", metavar="NAME", help="take the values of this layer (default: X)")
    values.add_argument("--raw", action="store_true", help="take the X of `raw`")
    markers.add_argument(
        "--normalize", action=argparse.BooleanOptionalAction, default=False,
        help="the values are counts: take log(1 + 10,000 x count / size of the cell)",
    )  # fmt: skip
    markers.add_argument(
        "--method", default="t-test", choices=("t-test", "t-test_overestim_var", "wilcoxon"), metavar="NAME",
        help="t-test, t-test_overestim_var or wilcoxon (default: %(default)s)",
    )  # fmt: skip
    markers.add_argument(
        "--against", nargs="+", default=["sisters", "all"], choices=("sisters", "all"), metavar="WHAT",
        help="sisters, all, or both (default: both)",
    )  # fmt: skip
    markers.add_argument("--columns", nargs="+", metavar="NAME", help="obs columns (default: all of the result)")
    markers.add_argument("--n_genes", type=_whole(1), default=100, metavar="N", help="of a cluster (%(default)s)")
    markers.add_argument(
        "--min_cells", type=_whole(2), default=10, metavar="N", help="leave smaller clusters out (%(default)s)"
    )
    markers.add_argument("--json", action="store_true", dest="as_json", help="print the best genes as JSON")
    markers.set_defaults(run=".markers:markers")


def _whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number of at least so much."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
        return int(text)

    return read


def _add_deployments(commands: Any) -> None:
    for name, run, about in (
        (
            "deploy",
            ".deploy:deploy",
            "put a configuration on a Prefect server, for workers to run",
        ),
        ("serve", ".deploy:serve", "the same, run by this process until Ctrl-C"),
    ):
        command = commands.add_parser(
            name, help=about, allow_abbrev=False, epilog=RUN_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"cellstrata {name} CONFIG [options] [--any_key value]",
        )  # fmt: skip
        command.add_argument("config", metavar="CONFIG", help="the YAML file of `run`")
        command.add_argument("--name", help="of the deployment (default: the file's name)")
        command.add_argument("--schedule", metavar="CRON", help='when to run: "0 3 * * *" is every night at three')
        command.add_argument("--timezone", default="UTC", metavar="ZONE", help="of the schedule (default: UTC)")
        command.add_argument("--interval", type=float, metavar="SECONDS", help="run so often instead")
        command.add_argument(
            "--watch", type=float, metavar="SECONDS", help="look so often whether an input has changed"
        )
        command.add_argument("--dataset", action="append", metavar="NAME", help="only this dataset; may be repeated")
        command.add_argument("--verbose", action="store_true", help="show the whole of an unexpected error")
        if name == "deploy":
            command.add_argument("--pool", default="cellstrata", help="work pool, made if there is none (%(default)s)")
            command.add_argument("--type", metavar="TYPE", help="of a new pool: process, docker, kubernetes (process)")
            command.add_argument("--image", help="container image, in a pool of type docker or kubernetes")
            command.add_argument("--env", action="append", metavar="NAME=VALUE", help="variable of each run")
            command.add_argument("--notify", metavar="BLOCK", help="tell failures: slack-webhook/lab, a Prefect block")
        command.set_defaults(run=run)
    ui = commands.add_parser("ui", help="start a Prefect server for you alone, until Ctrl-C", allow_abbrev=False)
    ui.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    ui.add_argument("--port", type=int, default=4200, help="port (default: %(default)s)")
    ui.set_defaults(run=".ui:ui", takes="host port")


def _add_cache(commands: Any) -> None:
    cache = commands.add_parser("cache", help="look at the cache, check it, make it smaller", allow_abbrev=False)
    about = cache.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="about")
    about.add_parser("info", help="say how large it is, by kind, age and dataset", allow_abbrev=False)
    about.add_parser("verify", help="read all of it again and check every digest", allow_abbrev=False)
    prune = about.add_parser(
        "prune", help="remove what was used least recently", allow_abbrev=False, epilog=PRUNE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    prune.add_argument("--older_than", metavar="TIME", help="what was last used longer ago: 30d, 12h, 2w, 90m")
    prune.add_argument("--max_size", metavar="SIZE", help="until no more remains: 50GB, 500MB, 1.5TiB")
    prune.add_argument("--dry_run", action="store_true", help="say what would be removed, and remove nothing")
    for command in about.choices.values():
        command.add_argument("--cache", metavar="URL", help="a folder or URL (default: as for `run`)")
        command.add_argument("--json", action="store_true", dest="as_json", help="print the report as JSON")
    cache.set_defaults(run=".cache:cache")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"cellstrata {version('cellstrata')}"
    except PackageNotFoundError:
        return "cellstrata, not installed"
