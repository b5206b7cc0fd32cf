"""`cellstrata collect`: the obs columns of several results, in one table or one result."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import absolute

if TYPE_CHECKING:
    pass


def collect(results: list[str], output: str, overwrite: bool) -> int:
    """Collect the columns of results into `output`; returns the exit code."""
    terminal, shown = Terminal(as_json=False, verbose=False), without_credentials(output)
    try:
        n_columns, n_cells = _collect(results, output, overwrite, terminal)
    except (ConfigError, DataError) as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        terminal.failed(f"interrupted; nothing was written to {shown}")
        return INTERRUPTED
    except OSError as error:
        terminal.failed(f"{shown}: cannot be written: {error.strerror or error}")
        return FAILED
    except Exception as error:
        terminal.failed(f"{unexpected(error)}\nnothing was written to {shown}")
        return FAILED
    print(f"collected  {n_columns} columns of {n_cells} cells from {len(results)} result{'s'[: len(results) != 1]}")
    print(f"output     {absolute(shown)}")
    return DONE


def _collect(results: list[str], output: str, overwrite: bool, terminal: Terminal) -> tuple[int, int]:
    """Return how many columns of how many cells were written."""
    from cellstrata.tasks.results.collect import collect_columns
    from cellstrata.tasks.results.collection_output import check_collected_output, write_collected

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
