"""`cellstrata completion`: a script with which a shell completes commands, options, keys and files."""

from __future__ import annotations

import argparse
from typing import Any, Literal, get_args, get_origin

import shtab

from cellstrata.configs.model import RunConfig
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.options.parser import KEYS_BESIDE, command_parser

FILES = ("config", "result", "results", "input_file", "output_file", "output", "destination")
FOLDERS = ("folder", "cache")
OF_A_FILE_ALONE = ("DATASETS", "defaults")  # what nobody writes on a command line whole


def completion(shell: str) -> int:
    """Print the script for a shell; returns the exit code."""
    print(script(shell))
    return DONE


def script(shell: str) -> str:
    """Return the script for `bash`, `zsh` or `tcsh`. Where every key is an option too, the keys are in it."""
    parser = command_parser()
    for command in _commands(parser):
        if any(action.dest == KEYS_BESIDE for action in command._actions):
            _add_keys(command)
        for action in command._actions:
            if action.dest in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.dest in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of all commands, and of theirs."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += [command, *_commands(command)]
    return found


def _add_keys(command: argparse.ArgumentParser) -> None:
    for key, field in RunConfig.model_fields.items():
        if key not in OF_A_FILE_ALONE:
            about = (field.description or key).replace("%", "%%")
            command.add_argument(f"--{key}", choices=_choices(field.annotation), help=about)


def _choices(annotation: Any) -> tuple[str, ...] | None:
    """Return the values of a key that has few."""
    options = [annotation, *get_args(annotation)]
    return next((get_args(one) for one in options if get_origin(one) is Literal), None)
