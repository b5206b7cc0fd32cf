"""`cellstrata migrate`: print what a configuration of scAtlasTb is here."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping

from cellstrata.configs.errors import ConfigError, Path, Problem
from cellstrata.configs.loading.load import read_document
from cellstrata.configs.loading.yaml_writer import written
from cellstrata.configs.migration.document import migrated
from cellstrata.configs.model import RunConfig
from cellstrata.flows.commands.exit_codes import DONE, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal


def migrate(path: str) -> int:
    """Print the new configuration on stdout, its notes first; returns the exit code."""
    try:
        document = read_document(path)
        try:
            new, notes = migrated(document.data)
            RunConfig(**new)
            text = written(new, notes)
        except ConfigError as error:
            lines: dict[Path, int] = {tuple(map(str, place)): line for place, line in document.lines.items()}
            raise ConfigError([_located(problem, lines) for problem in error.problems], path) from None
        except RecursionError:
            raise ConfigError([Problem((), "nested too deeply to be rewritten")], path) from None
    except ConfigError as error:
        Terminal(as_json=False, verbose=False).wrong(str(error))
        return WRONG_INPUT
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # what a configuration is read as, whatever the terminal's
    print(text, end="", flush=True)
    return DONE


def _located(problem: Problem, lines: Mapping[Path, int]) -> Problem:
    place = tuple(map(str, problem.path))
    known = (lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines)
    return Problem(problem.path, problem.message, problem.suggestion, next(known, None), problem.source)
