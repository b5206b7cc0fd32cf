"""`cellstrata materialize`: a result that depends on its input becomes one that does not."""

from __future__ import annotations

import os

from cellstrata.configs.amounts import size_text
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.publishing.materialize import materialize as copy_result
from cellstrata.tasks.stores.credentials import Sealed


def materialize(url: str, destination: str, overwrite: bool) -> int:
    """Copy a result with all that it links or refers to; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    with Attempt(terminal, interrupted="interrupted; run again") as attempt:
        sealed = Sealed(storage_options(os.environ))
        url, destination = sealed.url(url), sealed.url(destination)
        with terminal.status(f"copying {url}"):
            made = copy_result(url, destination, overwrite=overwrite, storage_options=sealed.options)
    if attempt.code:
        return attempt.code
    print(f"{made.url}\n{made.objects:,} objects, {size_text(made.bytes)}, {made.seconds:.1f} s", flush=True)
    return DONE
