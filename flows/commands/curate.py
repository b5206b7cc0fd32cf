"""`cellstrata curate`: names for the clusters of a result, checked whole before anything is written."""

from __future__ import annotations

import os

from rich.markup import escape
from rich.table import Table

from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.places import Place


def curate(result: str, curation: str, output: str | None, overwrite: bool) -> int:
    """Check a curation, and write the result with its names; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    with Attempt(terminal, interrupted="interrupted; run again") as attempt:
        from cellstrata.tasks.curation.curate import curate as curate_result

        sealed = Sealed(storage_options(os.environ))
        places = [None if url is None else Place(sealed.url(url), sealed.options) for url in (result, curation, output)]
        read, file, written = places
        assert read is not None
        assert file is not None
        with terminal.status(f"reading {read.url}"):
            found = curate_result(read, file, written, overwrite=overwrite)
    if attempt.code:
        return attempt.code
    for notice in found.notices:
        terminal.notice(notice)
    for column, groups in found.groups.items():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in (escape(column), "cells", "name", "ontology"):
            table.add_column(name, justify="right" if name == "cells" else "left", overflow="fold")
        for group in groups:
            table.add_row(
                escape(", ".join(group.clusters)), f"{group.n_cells:,}", escape(group.name), group.ontology or ""
            )
        terminal.show(table, "")
    terminal.show(f"result  {escape(found.output)}" if found.output else "the curation fits; --output writes the names")
    return DONE
