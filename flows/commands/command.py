"""The command `cellstrata`. Spawned workers import this module again, so it imports almost nothing."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.letters import name_files_in_utf8, show_what_can_be_shown
from cellstrata.flows.options.parser import KEYS_BESIDE, command_parser
from cellstrata.tasks.workers.memory import give_back_freed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    if arguments is None:
        name_files_in_utf8()
    show_what_can_be_shown()
    give_back_freed()
    parser = command_parser()
    options, rest = parser.parse_known_args(arguments)
    options.overrides = rest
    if options.overrides and not hasattr(options, KEYS_BESIDE):
        parser.error(f"unknown option {options.overrides[0]}")
    words = sys.argv[1:] if arguments is None else arguments
    if hasattr(options, "config") and (option := _of_which_option(words, options)):
        parser.error(
            f"no configuration file is given: `{options.config}`, which is no file, stands where the value of "
            f"{option} does; write the file first"
        )
    try:
        return _called(options)
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        sys.stderr.close()
        return DONE


def _called(options: argparse.Namespace) -> int:
    """Import a command, which nothing else does, and call it with the options that it takes, or with all as one."""
    module, name = options.run.split(":")
    command = getattr(importlib.import_module(module, __package__), name)
    takes: str | None = getattr(options, "takes", None)
    given = [options] if takes is None else [getattr(options, option) for option in takes.split()]
    return int(command(*given))


def _of_which_option(words: Sequence[str], options: argparse.Namespace) -> str | None:
    """Return the option whose value was taken for the configuration file, None where that is given."""
    at = list(words).index(options.config)
    before = words[at - 1]
    is_value = before.startswith("--") and "=" not in before and before in options.overrides
    return before if is_value and not os.path.exists(options.config) else None


if __name__ == "__main__":
    sys.exit(main())
