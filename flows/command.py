"""The command `cellstrata`. Spawned workers import this module again, so it imports almost nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from flows.exit_codes import DONE

DESCRIPTION = """\
Cluster single-cell atlases at many resolutions and many levels of sub-clustering.
Every cluster that is split is a cached unit of work: what is known is never computed again."""

EPILOG = """\
examples:
  cellstrata demo                            the bundled example, ready to run
  cellstrata run config.yaml                 everything that the file asks for
  cellstrata run config.yaml --workers 4 --DATASETS.lung.clustering.resolutions "[0.2, 1]"
  cellstrata schema > cellstrata.schema.json for your editor

exit codes: 0 done, 1 something failed (run again to resume), 2 the input is wrong"""

RUN_EPILOG = """\
Every key of the configuration is an option too, and goes over the file and the environment
(CELLSTRATA_WORKERS=4): --workers 4, --runner threads, --refresh, --output_dir URL, --cache URL,
--seed 1 (of every dataset), --DATASETS.lung.clustering.seed 1 (of one). All keys: the README."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = rest
    if options.overrides and not hasattr(options, "json"):
        parser.error(f"unknown option {options.overrides[0]}")
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        sys.stderr.close()
        return DONE


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "cellstrata", allow_abbrev=False, description=DESCRIPTION, epilog=EPILOG, formatter_class=shape
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        usage="cellstrata run CONFIG [--json] [--verbose] [--any_key value …]",
        help="cluster what a configuration file asks for",
        epilog=RUN_EPILOG,
        formatter_class=shape,
        allow_abbrev=False,
    )
    run.add_argument("config", metavar="CONFIG", help="a YAML file; see configs/examples")
    run.set_defaults(run=_run)
    demo = commands.add_parser("demo", help="run the bundled example on 700 blood cells", allow_abbrev=False)
    demo.add_argument("--folder", default="cellstrata-demo", help="where its files go (default: %(default)s)")
    demo.set_defaults(run=_demo)
    for command in (run, demo):
        command.add_argument("--json", action="store_true", help="print the summary as JSON, on the last line")
        command.add_argument("--verbose", action="store_true", help="show the log of every step")
    schema = commands.add_parser("schema", help="print the JSON schema of the configuration")
    schema.set_defaults(run=_schema)
    return parser


def _run(options: argparse.Namespace) -> int:
    from flows.run_command import run

    return run(options.config, options.overrides, options.json, options.verbose)


def _demo(options: argparse.Namespace) -> int:
    from flows.demo import write_demo
    from flows.run_command import run

    return run(write_demo(options.folder), options.overrides, options.json, options.verbose)


def _schema(options: argparse.Namespace) -> int:
    from configs.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return DONE


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"cellstrata {version('cellstrata')}"
    except PackageNotFoundError:
        return "cellstrata, not installed"


if __name__ == "__main__":
    sys.exit(main())
