"""`cellstrata materialize`: a result that depends on its input becomes one that does not."""

from __future__ import annotations

import os

from cellstrata.configs.amounts import size_text
from cellstrata.configs.errors import ConfigError
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.publishing.materialize import materialize as copy_result
from cellstrata.tasks.stores.credentials import Sealed


def materialize(url: str, destination: str, overwrite: bool) -> int:
    """Copy a result with all that it links or refers to; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    try:
        sealed = Sealed(storage_options(os.environ))
        url, destination = sealed.url(url), sealed.url(destination)
        with terminal.status(f"copying {url}"):
            made = copy_result(url, destination, overwrite=overwrite, storage_options=sealed.options)
    except (ConfigError, DataError) as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    except KeyboardInterrupt:
        terminal.failed("interrupted; run again")
        return INTERRUPTED
    except Exception as error:
        terminal.failed(unexpected(error))
        return FAILED
    print(f"{made.url}\n{made.objects:,} objects, {size_text(made.bytes)}, {made.seconds:.1f} s", flush=True)
    return DONE
