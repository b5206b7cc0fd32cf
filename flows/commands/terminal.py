"""What a person sees: notices, a live bar for each dataset, a short table at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from cellstrata.flows.commands.estimate import Estimate, spoken
from cellstrata.flows.monitor import progress as progress_of_run
from cellstrata.flows.monitor.progress import Counts, ProgressFeed
from cellstrata.flows.monitor.summary import RunSummary
from cellstrata.tasks.stores.data_errors import DataError
from cellstrata.tasks.stores.faults import VANISHED, StoreError

if TYPE_CHECKING:
    from cellstrata.tasks.results.level_result import PublishedLevel

RETRYING = os.path.join("stores", "retries.py")  # through which the errors of stores pass
MEND = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or ask for more",
    errno.EACCES: "check its permissions, or name another place",
    errno.EROFS: "name another place",
} | dict.fromkeys(VANISHED, "the disk or network mount has gone: mend it, then run again")


def unexpected(error: BaseException) -> str:
    """Say what an error was that nobody foresaw, and where in the program it came up, or how to mend it."""
    if isinstance(error, (StoreError, DataError)):
        return str(error)
    if isinstance(error, OSError) and error.errno in MEND and error.filename:
        return f"{error.filename}: {error.strerror}; {MEND[error.errno]}"
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((one for one in reversed(frames) if not one.filename.endswith(RETRYING)), frames[-1])
    text = ", ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    return f"{text}\nin {os.path.basename(frame.filename)}, line {frame.lineno}"


class _Rest(ProgressColumn):
    """How long it still takes, or what is done now."""

    def render(self, task: Task) -> Text:
        """Return the text for a bar."""
        return Text(task.fields["doing"] or spoken(task.fields["estimate"].left(time.monotonic())))


def _columns(width: int) -> list[ProgressColumn]:
    """What stands in a line of so many characters. Nothing wraps, and how long it still takes is always there."""
    name, bar = _widths(width)
    of_name = Column(no_wrap=True, overflow="ellipsis", max_width=name)
    return [
        TextColumn("{task.description}", table_column=of_name),
        BarColumn(bar_width=bar),
        TaskProgressColumn(table_column=Column(no_wrap=True)),
        *([TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True))] if width >= 100 else []),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _Rest(table_column=Column(no_wrap=True)),
    ]


def _widths(width: int) -> tuple[int, int]:
    """The longest name, and the bar."""
    return (16, 10) if width < 100 else (20, 16) if width < 160 else (30, 30)


def _detail(now: progress_of_run.Progress, width: int) -> str:
    """What there is room for of cells and splits, besides percent, time and rest."""
    cells = f"{now.settled:,} of {now.total:,} cells × levels"
    executed, cached = now.counts.executed, now.counts.cached
    room = width - sum(_widths(width)) - 33
    said = (f"{cells}, {executed} splits computed, {cached} from cache", f"{cells}, {executed + cached} splits", cells)
    return next((text for text in said if len(text) <= room), "")


class Terminal:
    """Writes for people to stderr, and the summary to stdout (to stderr where that is for JSON)."""

    def __init__(self, as_json: bool, verbose: bool, quiet: bool = False) -> None:
        """`verbose`: the log is shown, so no progress is; `quiet`: none is."""
        self._errors = Console(stderr=True, highlight=False)
        wide = None if sys.stdout.isatty() else 160
        self._results = self._errors if as_json else Console(highlight=False, width=wide)
        self._live = self._errors.is_terminal and not verbose and not quiet
        self._plain = not self._errors.is_terminal and not verbose and not quiet
        self._status: Status | None = None
        self._started: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def wrong(self, text: str) -> None:
        """Say what is wrong with the user's input."""
        self._print("[red]error[/red]", text)

    def failed(self, text: str) -> None:
        """Say what failed."""
        self._print("[red]failed[/red]", text)

    def notice(self, text: str) -> None:
        """Say what the user may want to know."""
        self._print("[yellow]notice[/yellow]", text)

    def _print(self, head: str, text: str) -> None:
        first, *more = text.splitlines() or [""]
        self._errors.print(f"{head}: {escape(first)}", soft_wrap=True)
        for line in more:
            self._errors.print(f"  {escape(line)}", soft_wrap=True)

    @contextlib.contextmanager
    def status(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show what is going on before there is progress to show."""
        if not self._live:
            yield lambda text: None
            return
        self._status = self._errors.status(text)
        self._status.start()
        try:
            yield self.say
        finally:
            self._end_status()

    def say(self, text: str) -> None:
        """Change the status."""
        if self._status is not None:
            self._status.update(escape(text))

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    @contextlib.contextmanager
    def progress(self, feed: ProgressFeed) -> Iterator[None]:
        """Show a bar for each dataset, by cells and levels, with its splits; in a log a line now and then."""
        if not self._live:
            with feed.shown_by(self._lines()) if self._plain else contextlib.nullcontext():
                yield
            return
        self._end_status()
        width = self._errors.width
        bars = Progress(*_columns(width), console=self._errors)

        def show(now: progress_of_run.Progress) -> None:
            if not now.total:
                return
            with self._lock:
                detail = _detail(now, width)
                if now.dataset not in self._started:
                    fields: dict[str, Any] = {"detail": detail, "doing": "", "estimate": Estimate(now.total)}
                    self._started[now.dataset] = bars.add_task(escape(now.dataset), total=now.total, **fields)
                bar = self._started[now.dataset]
                estimate = bars.tasks[bar].fields["estimate"]
                estimate.total = now.total  # a sweep finds what is to be split
                estimate.note(time.monotonic(), now.settled)
                bars.update(bar, total=now.total, completed=now.settled, detail=detail, doing=now.doing)

        with feed.shown_by(show), bars:
            yield

    def _lines(self) -> Callable[[progress_of_run.Progress], None]:
        """Return what writes a line where a dataset begins, has passed a level, and ends."""
        levels: dict[str, int] = {}

        def write(now: progress_of_run.Progress) -> None:
            said = now.doing if now.doing in (progress_of_run.BEGINS, progress_of_run.DONE) else ""
            with self._lock:
                if now.level > levels.get(now.dataset, 0):
                    levels[now.dataset] = now.level
                    said = f"level {now.level} is split"
            if said:
                splits = f"{now.counts.executed:,} splits computed, {now.counts.cached:,} from cache"
                told = said if now.doing == progress_of_run.BEGINS else f"{said}, {splits}"
                self._errors.print(f"{time.strftime('%H:%M:%S')} {escape(now.dataset)}: {told}", soft_wrap=True)

        return write

    def show(self, *what: RenderableType) -> None:
        """Print what was asked for."""
        for one in what:
            self._results.print(one, soft_wrap=isinstance(one, str))

    def summary(self, summary: RunSummary) -> None:
        """Print what to know before all else, a row for each dataset, what else to know, and where the results are."""
        for name, dataset in summary.datasets.items():
            for notice in dataset.notices[: dataset.foremost or 0]:
                self.notice(f"{name}: {notice}")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, right in (("dataset", False), ("columns", True), ("clusters", True), ("seconds", True),
                            ("splits computed", True), ("from cache", True)):  # fmt: skip
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for name, dataset in summary.datasets.items():
            if dataset.error is not None:
                table.add_row(escape(name), "[red]failed[/red]")
                continue
            clusters = list(dataset.clusters.values())
            spread = f"{min(clusters)} to {max(clusters)}" if clusters else ""
            table.add_row(
                escape(name), str(len(dataset.columns)), spread, f"{dataset.seconds:.1f}",
                str(dataset.splits.executed), str(dataset.splits.cached),
            )  # fmt: skip
        self._results.print(table)
        for name, dataset in summary.datasets.items():
            for notice in dataset.notices[dataset.foremost or 0 :]:
                self.notice(f"{name}: {notice}")
            if dataset.error is not None:
                self.failed(f"{name}: {dataset.error}")
        for notice in summary.notices:
            self.notice(notice)
        for name, dataset in summary.datasets.items():
            for advice in dataset.advice:
                if advice.is_telling:
                    self._results.print(
                        f"advice  {escape(name)}, {advice.algorithm}: {escape(advice.said)}", soft_wrap=True
                    )
        for dataset in summary.datasets.values():
            places = {"result": dataset.output, "labels": dataset.labels, "markers": dataset.markers,
                      "embeddings": dataset.embeddings, "figures": dataset.figures,
                      "report": dataset.report}  # fmt: skip
            for what, place in places.items():
                self._place(what, place)
        self._place("index", summary.index)

    def level(self, published: PublishedLevel, splits: Counts, seconds: float) -> None:
        """Print what one level came to, and where it is."""
        said = f"{splits.executed} splits computed, {splits.cached} from cache"
        self._results.print(f"{published.column}  {published.clusters} clusters  {said}  {seconds:.1f} s")
        self._place("result", published.output)

    def _place(self, what: str, place: str | None) -> None:
        if place is not None:
            self._results.print(f"{what:<7} {escape(place)}", soft_wrap=True)
