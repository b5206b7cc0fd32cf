"""`cellstrata trace`: what a run did and when, for a viewer of traces."""

from __future__ import annotations

import json
import os

from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.environment import storage_options
from cellstrata.flows.commands.exit_codes import DONE
from cellstrata.flows.commands.terminal import Terminal
from cellstrata.tasks.stores.credentials import Sealed
from cellstrata.tasks.stores.data_errors import OutputError
from cellstrata.tasks.stores.new_file import cannot_be_written
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import join

SLOWEST = 5  # pieces of work that are shown


def trace(record: str, output: str | None, overwrite: bool) -> int:
    """Turn the record of a run into a trace; returns the exit code."""
    terminal = Terminal(as_json=False, verbose=False)
    with Attempt(terminal, interrupted="interrupted; run again") as attempt:
        from cellstrata.tasks.timeline.chrome_trace import trace_events
        from cellstrata.tasks.timeline.run_record import NAME, read_run_record

        sealed = Sealed(storage_options(os.environ))
        url = record if record.endswith(".json") else join(record, "clustering", NAME)
        source = Place(sealed.url(url), sealed.options)
        target = Place(sealed.url(output or f"{url.removesuffix('.json')}.trace.json"), sealed.options)
        problem = cannot_be_written(target, (".json",), sources=(source.url,), overwrite=overwrite or output is None)
        if problem:
            raise OutputError("", "", problem)
        found = read_run_record(source)
        events = trace_events(found.work)
        target.store.write("", json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}).encode())
    if attempt.code:
        return attempt.code
    seconds = sum(one.usage.seconds for one in found.work)
    print(f"{len(found.work):,} pieces of work, {seconds:.1f} s in all; the longest:")
    for one in sorted(found.work, key=lambda one: -one.usage.seconds)[:SLOWEST]:
        print(f"{one.usage.seconds:8.2f} s  {one.name}")
    print(f"trace   {target.url}; open it at https://ui.perfetto.dev or chrome://tracing", flush=True)
    return DONE
