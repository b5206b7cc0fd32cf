"""The work of a run in the Trace Event Format, which chrome://tracing and ui.perfetto.dev draw.

The format is described in "Trace Event Format" of the Chromium project: complete events (`X`), metadata (`M`), counters
(`C`), times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cellstrata.tasks.timeline.work import Work

MICRO = 1e6  # of a second
Event = dict[str, object]


def trace_events(work: Sequence[Work]) -> list[Event]:
    """Return the events: a lane for each process and thread that computed, and how many pieces waited for one."""
    lanes = list(dict.fromkeys((one.usage.host, one.usage.process) for one in work))
    threads = list(dict.fromkeys((one.usage.host, one.usage.process, one.usage.thread) for one in work))
    events: list[Event] = []
    for number, (host, process) in enumerate(lanes):
        events.append(
            {"name": "process_name", "ph": "M", "pid": number, "args": {"name": f"{host}, process {process}"}}
        )
    for number, (host, process, thread) in enumerate(threads):
        own = lanes.index((host, process))
        events.append({"name": "thread_name", "ph": "M", "pid": own, "tid": number, "args": {"name": thread}})
    for one in work:
        lane = (one.usage.host, one.usage.process)
        events.append(
            {
                "name": one.name, "cat": "split" if one.splits else "step", "ph": "X",
                "ts": one.usage.started * MICRO, "dur": one.usage.seconds * MICRO,
                "pid": lanes.index(lane), "tid": threads.index((*lane, one.usage.thread)), "args": _facts(one),
            }
        )  # fmt: skip
    return [*events, *_waiting(work)]


def _facts(one: Work) -> dict[str, object]:
    peak = None if one.usage.peak is None else round(one.usage.peak / 2**20, 1)
    facts = {"CPU s": one.usage.cpu, "peak MiB": peak, "waited s": round(one.usage.started - one.asked, 4)}
    return {**{name: value for name, value in facts.items() if value is not None}, "splits": len(one.splits)}


def _waiting(work: Iterable[Work]) -> Iterator[Event]:
    """Yield how many pieces had been handed over and had not begun, whenever that changes."""
    changes = sorted([(one.asked, 1) for one in work] + [(one.usage.started, -1) for one in work])
    waiting = 0
    for at, change in changes:
        waiting += change
        yield {"name": "waiting", "ph": "C", "ts": at * MICRO, "pid": 0, "args": {"pieces": waiting}}
