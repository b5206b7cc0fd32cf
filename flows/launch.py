"""A run as its caller starts it: the Prefect server it speaks to, its runner, its inputs, and then the flow `cluster`.

Programs call `run`, also in a notebook; the command `run` shows a `Launch` on the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

from cellstrata.configs.loading.load import config_from
from cellstrata.configs.model import RunConfig
from cellstrata.flows.credentials import has_blocks
from cellstrata.flows.early import start_graphs, wake_worker
from cellstrata.flows.monitor.progress import ProgressFeed
from cellstrata.flows.monitor.summary import RunSummary
from cellstrata.flows.preparation import UnusableInputs, prepare, ready, unavailable
from cellstrata.flows.run import Run, open_run
from cellstrata.flows.server.connection import Connection, connection, unanswered
from cellstrata.flows.server.embedded_server import ServerFailed
from cellstrata.flows.server.watch import when_unreachable
from cellstrata.tasks.cache.access import open_to_all
from cellstrata.tasks.imports.turns import IMPORTING

PATIENCE = 10.0  # seconds for a run that was interrupted to end
log = logging.getLogger("cellstrata")


class Interrupted(Exception):
    """The user, or the system, asked the run to stop."""


class RunFailed(RuntimeError):
    """Datasets of a run failed; `summary` has what came of all of them. What is finished is kept."""

    def __init__(self, summary: RunSummary) -> None:
        self.summary = summary
        super().__init__(summary)

    def __str__(self) -> str:
        return "\n".join(f"{name}: {self.summary.datasets[name].error}" for name in self.summary.failed)


def run(config: RunConfig | str | os.PathLike[str] | Mapping[str, object], /, **overrides: object) -> RunSummary:
    """Cluster what a configuration asks for, as `cellstrata run` does, and return what came of it.

    Blocks until the run has ended. It can be called from any thread, within a running event loop (a
    notebook) and within another Prefect flow, of which it is then a subflow.

    Parameters
    ----------
    config
        A path of a YAML file, a mapping of the same form, or a `RunConfig`. The environment
        (`CELLSTRATA_WORKERS=4`) goes over a file and a mapping; a `RunConfig` is taken as it is.
    overrides
        Keys that go over all of these: `workers=4`, `seed=1` (of every dataset),
        `DATASETS__lung__clustering__seed=1` (of one).

    Returns
    -------
    RunSummary
        What came of each file of each dataset, where results and reports are, and the seconds it took.

    Raises
    ------
    ConfigError
        If the configuration is wrong, with everything that is wrong.
    UnusableInputs
        Before any work starts, with everything that is wrong with the inputs.
    RunnerUnusable
        Before any work starts, with everything that is wrong with the runner.
    RunFailed
        If datasets failed; the others are finished all the same. Its `summary` has both.
    ServerFailed
        If Prefect's server does not start, or is lost during the run.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError("a worker process imports this script again: call `run` under `if __name__ == '__main__':`")
    asked, notices = config_from(config, overrides)
    for notice in notices:
        log.warning(notice)
    outcome: Future[RunSummary] = Future()
    launch = Launch(asked)

    def lost(reason: str) -> None:  # Prefect would go on trying for minutes: its thread is left to that
        launch.stop()
        with contextlib.suppress(Exception):
            outcome.set_exception(ServerFailed(f"{reason}; every finished split is kept: run again to resume"))

    surroundings = _surroundings()

    def work() -> None:
        try:
            with surroundings:
                found = launch.summary(lost)
        except BaseException as error:
            with contextlib.suppress(Exception):  # it has been given up
                outcome.set_exception(error)
        else:
            with contextlib.suppress(Exception):
                outcome.set_result(found)

    # A thread of its own: here an event loop may be running, and that of a flow must not be in it.
    thread = threading.Thread(target=work, name="cellstrata-run", daemon=True)
    thread.start()
    try:
        summary = outcome.result()
    except KeyboardInterrupt:
        launch.stop()
        thread.join(PATIENCE)
        raise
    for notice in summary.notices:
        log.warning(notice)
    if summary.failed:
        raise RunFailed(summary)
    return summary


class Display(Protocol):
    """Where a run is shown while it lasts."""

    def notice(self, text: str) -> None:
        """Say what the user may want to know."""

    def say(self, text: str) -> None:
        """Say what is being done."""

    def status(self, text: str) -> AbstractContextManager[Callable[[str], None]]:
        """Say within the block what is done before there is progress to show."""

    def progress(self, feed: ProgressFeed) -> AbstractContextManager[None]:
        """Show progress within the block."""


class LogDisplay:
    """Shows notices in the log `cellstrata`, and no progress."""

    def notice(self, text: str) -> None:
        """Say what the user may want to know."""
        log.warning(text)

    def say(self, text: str) -> None:
        """Say what is being done."""
        log.info(text)

    @contextlib.contextmanager
    def status(self, text: str) -> Iterator[Callable[[str], None]]:
        """Say what is done before there is progress to show."""
        yield log.info

    @contextlib.contextmanager
    def progress(self, feed: ProgressFeed) -> Iterator[None]:
        """Show nothing: the log of the flow has it."""
        yield


class Launch:
    """One run, from its configuration to its summary; `stop` may be called from any thread."""

    def __init__(
        self,
        config: RunConfig,
        display: Display | None = None,
        signals: Sequence[signal.Signals] = (),
        *,
        advises: bool = False,
    ) -> None:
        """`signals` are those that stop the run once its flow has begun; only for a main thread. With `advises` it is
        the flow `advise` that runs."""
        self._advises = advises
        self._config, self._display, self._signals = config, display or LogDisplay(), signals
        self._stopped = False
        self._run: Run | None = None
        self._stop_flow: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def summary(self, lost: Callable[[str], None], before_flow: Callable[[], None] = lambda: None) -> RunSummary:
        """Run, and return the result of the flow.

        `lost` is called, from another thread, with a reason if Prefect's server is lost; `before_flow` when
        all is imported.

        Raises
        ------
        UnusableInputs, RunnerUnusable
            Before any work starts.
        ServerFailed
            If the embedded server does not start, or the one that is configured does not answer.
        Interrupted
            If the run was stopped.
        """
        config = self._config
        if not has_blocks(config):  # before a server is started
            config = checked(config)
        with connection() as server, self._display.status("inspecting the inputs") as say:
            if server.notice:
                self._display.notice(server.notice)
            if has_blocks(config):
                say("reading Prefect's blocks")
                server.wait()
                with server.settings():
                    config = checked(config)
            with open_run(config) as run:
                with self._lock:
                    self._run = run
                say(f"starting the runner {config.runner}")
                with run.computing() as executor:
                    for notice in executor.notices:
                        self._display.notice(notice)
                    if (warning := open_to_all(run.open_cache())) is not None:
                        self._display.notice(warning)
                    wake_worker(run)
                    prepare(run, lambda name: say(f"inspecting {name}"))
                    say("starting Prefect")
                    start_graphs(run)
                    return self._flow(run, server, lost, before_flow)

    def stop(self) -> None:
        """Stop the run and its workers at once; whoever waits for it gets Interrupted."""
        with self._lock:
            self._stopped = True
            if self._run is not None:
                self._run.stop()
            self._stop_flow()

    def _flow(
        self, run: Run, server: Connection, lost: Callable[[str], None], before_flow: Callable[[], None]
    ) -> RunSummary:
        with server.settings():
            with IMPORTING:
                # Here: Prefect takes 2 s to import, and workers must not.
                from cellstrata.flows.monitor.outcome import summary_of

                if self._advises:
                    from cellstrata.flows.advise import advise as flow
                else:
                    from cellstrata.flows.cluster import cluster as flow

            before_flow()
            server.wait()
            ended = threading.Event()
            if server.embedded is not None:
                server.embedded.when_lost(lost)
            elif server.url:
                when_unreachable(server.url, lost, ended)
            self._display.say("clustering")

            async def until_stopped() -> RunSummary:
                loop = asyncio.get_running_loop()
                task = asyncio.ensure_future(flow(run.config, return_state=True))
                with self._lock:
                    self._stop_flow = lambda: loop.call_soon_threadsafe(task.cancel)
                    if self._stopped:
                        task.cancel()
                for sign in self._signals:
                    loop.add_signal_handler(sign, self.stop)
                try:
                    return await summary_of(await task)
                except asyncio.CancelledError:
                    raise Interrupted from None
                finally:
                    with self._lock:
                        self._stop_flow = lambda: None
                    for sign in self._signals:
                        loop.remove_signal_handler(sign)

            with self._display.progress(run.progress):
                try:
                    return asyncio.run(until_stopped())
                except Exception as error:
                    if server.embedded is None and server.url and (said := unanswered(error, server.url)):
                        raise ServerFailed(said) from error
                    raise
                finally:
                    ended.set()
                    if server.embedded is not None:
                        _flush_records()


def checked(config: RunConfig) -> RunConfig:
    """Make the configuration ready, and see that what it names is there. Raises UnusableInputs."""
    config = ready(config)
    if problems := unavailable(Run(config), devices=config.runner != "gpu"):
        raise UnusableInputs(problems)
    return config


def _surroundings() -> AbstractContextManager[None]:
    """Return the caller's Prefect context as another thread can enter it: settings, tags, and the flow around the run.

    Not its clients, which belong to the caller's event loop.
    """
    if "prefect" not in sys.modules:
        return contextlib.nullcontext()
    with IMPORTING:
        from prefect.context import hydrated_context, serialize_context

    return hydrated_context(serialize_context())


def _flush_records() -> None:
    """Send what Prefect's client still holds before the server stops."""
    with IMPORTING:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

    with contextlib.suppress(Exception):  # records, not results: nothing here may fail a run
        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=5)
