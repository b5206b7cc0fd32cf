"""`cellstrata collect`: the obs columns of several results, in one table or one result."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import absolute

if TYPE_CHECKING:
    pass


def collect(results: list[str], output: str, overwrite: bool) -> int:
    """Collect the columns of results into `output`; returns the exit code."""
    terminal, shown = Terminal(as_json=False, verbose=False), without_credentials(output)

    def failed(error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{shown}: cannot be written: {error.strerror or error}"
        return f"{unexpected(error)}\nnothing was written to {shown}"

    with Attempt(terminal, interrupted=f"interrupted; nothing was written to {shown}", failed=failed) as attempt:
        n_columns, n_cells = _collect(results, output, overwrite, terminal)
    if attempt.code:
        return attempt.code
    print(f"collected  {n_columns} columns of {n_cells} cells from {len(results)} result{'s'[: len(results) != 1]}")
    print(f"output     {absolute(shown)}")
    return DONE


def _collect(results: list[str], output: str, overwrite: bool, terminal: Terminal) -> tuple[int, int]:
    """Return how many columns of how many cells were written."""
    from cellstrata.tasks.collection.columns import collect_columns
    from cellstrata.tasks.collection.output import check_collected_output, write_collected

    sealed = Sealed(storage_options(os.environ))
    results, output = [sealed.url(result) for result in results], sealed.url(output)
    place = Place(output, sealed.options)
    with terminal.status("reading the results") as say:
        check_collected_output(results, place, overwrite=overwrite)
        collected = collect_columns([place.at(result) for result in results])
        say(f"writing {output}")
        write_collected(collected, place, overwrite=overwrite)
    for notice in collected.notices:
        terminal.notice(notice)
    return len(collected.columns), len(collected.names)
