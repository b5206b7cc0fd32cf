"""`cellstrata export`: a result in the formats of other programs."""

from __future__ import annotations

import os

from rich.markup import escape

from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place


def export(result: str, to: str, output: str | None, columns: list[str] | None, ids: bool) -> int:
    """Write a result in another format; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    with Attempt(terminal, interrupted="interrupted; nothing was written, run again") as attempt:
        from cellstrata.tasks.exports.export import export_result

        sealed = Sealed(storage_options(os.environ))
        place = Place(sealed.url(result), sealed.options)
        target = None if output is None else place.at(sealed.url(output))
        with terminal.status(f"exporting {place.url}"):
            found = export_result(place, to, target, columns=columns or (), ids=ids)
    if attempt.code:
        return attempt.code
    for notice in found.notices:
        terminal.notice(notice)
    terminal.show(f"exported  {escape(found.what)}, of {found.n_cells:,} cells", f"output    {escape(found.output)}")
    return DONE
