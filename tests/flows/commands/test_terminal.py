"""The bars of a run in the terminal, as they look in windows of any width."""

from __future__ import annotations

import functools
import io
import re

import pytest
from rich.console import Console

from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.flows.monitor.progress import BEGINS, DONE, Counts, Progress, ProgressFeed
from cellstrata.tasks.stores.retries import insist

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def last_bars(width: int, *datasets: str, total: int = 9_000_000) -> list[str]:
    """Return the lines that stand there at the end."""
    terminal, written = Terminal(as_json=False, verbose=False), io.StringIO()
    terminal._errors = Console(file=written, force_terminal=True, width=width, height=30)
    terminal._live = True
    feed = ProgressFeed()
    with terminal.progress(feed):
        for dataset in datasets:
            feed.announce(Progress(dataset, 0, total, Counts()))
            feed.announce(Progress(dataset, total, total, Counts(12_345, 678), "drawing figures"))
    frame = written.getvalue().rpartition("\x1b[2K")[2]
    return [line.rstrip() for line in CONTROL.sub("", frame).strip("\n").split("\n") if line.strip()]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 200])
def test_a_dataset_has_one_line_with_what_matters(width: int) -> None:
    (line,) = last_bars(width, "lung/core")
    assert len(line) <= width
    assert line.startswith("lung/core ━")
    assert re.search(r"100% .*0:00:0\d drawing figures$", line)
    assert ("9,000,000 of 9,000,000 cells × levels" in line) == (width >= 120)
    assert ("12345 splits computed, 678 from cache" in line) == (width >= 200)


def test_a_long_name_costs_nothing_else() -> None:
    name = "a_dataset_with_a_very_long_name_indeed/and_a_file"
    for width in (60, 120):
        (line,) = last_bars(width, name)
        assert len(line) <= width
        assert line.endswith("drawing figures")
        assert re.match(r"a_dataset_with_\S*… ━", line)


def test_an_unforeseen_error_names_the_place_that_asked_a_store_and_not_the_retrying() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        insist("s3://lab", functools.partial(int, "x"))
    assert "in test_terminal.py" in unexpected(caught.value)


def plain_lines(quiet: bool = False) -> list[str]:
    terminal, written = Terminal(as_json=False, verbose=False, quiet=quiet), io.StringIO()
    terminal._errors, feed = Console(file=written, width=40), ProgressFeed()
    with terminal.progress(feed):
        feed.announce(Progress("lung/[core]", 0, 0, Counts(), BEGINS))
        for settled, level in ((100, 0), (900, 0), (1000, 1), (1500, 1), (2000, 2)):
            feed.announce(Progress("lung/[core]", settled, 2000, Counts(settled // 100, 3), level=level))
        for doing in ("publishing", "drawing figures", DONE):
            feed.announce(Progress("lung/[core]", 2000, 2000, Counts(20, 3), doing))
    return written.getvalue().splitlines()


def test_a_log_has_a_line_where_a_dataset_begins_passes_a_level_and_ends() -> None:
    lines = plain_lines()
    assert all(re.match(r"\d\d:\d\d:\d\d lung/\[core\]: ", line) for line in lines)
    assert [line.partition("]: ")[2] for line in lines] == [
        "begins",
        "level 1 is split, 10 splits computed, 3 from cache",
        "level 2 is split, 20 splits computed, 3 from cache",
        "done, 20 splits computed, 3 from cache",
    ]
    assert plain_lines(quiet=True) == []
