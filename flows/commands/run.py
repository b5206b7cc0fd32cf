"""`cellstrata run`: read the configuration, inspect the inputs, run the flow, say how it went."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from cellstrata.configs.errors import ConfigError
from cellstrata.configs.load import load_config
from cellstrata.configs.model import RunConfig
from cellstrata.configs.secrets_mask import MASK, is_secret
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.exit_codes import DONE, FAILED, INTERRUPTED, WRONG_INPUT
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.flows.credentials import has_blocks
from cellstrata.flows.early import start_graphs, wake_worker
from cellstrata.flows.executors.executor import RunnerUnusable, Settings
from cellstrata.flows.executors.registry import shared_executor, stop_all
from cellstrata.flows.preparation import UnusableInputs, prepare, ready, unavailable
from cellstrata.flows.server.embedded_server import EmbeddedServer, ServerFailed, configured_server, no_certificates_for
from cellstrata.flows.server.watch import when_unreachable
from cellstrata.tasks.stores.garbage_pause import collect_again


class Interrupted(Exception):
    """The user, or whoever manages processes, asked the run to stop."""


def run(config_path: str, overrides: Sequence[str], as_json: bool, verbose: bool) -> int:
    """Run a configuration file; returns the exit code."""
    gc.disable()  # until everything is imported: nothing of it is garbage
    terminal = Terminal(as_json, verbose)
    try:
        config, notices = load_config(config_path, overrides)
    except ConfigError as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    for notice in notices:
        terminal.notice(notice)
    _quiet_prefect(verbose)
    try:
        if not has_blocks(config):  # before a server is started
            config = _checked(config)
        with _prefect_server() as server, terminal.status("inspecting the inputs") as say:
            if has_blocks(config):
                say("reading Prefect's blocks")
                if server is not None:
                    server.wait()
                config = _checked(config)
            say(f"starting the runner {config.runner}")
            with shared_executor(Settings.of(config)) as executor:
                for notice in executor.notices:
                    terminal.notice(notice)
                wake_worker(config, executor)
                inputs = prepare(config, lambda name: say(f"inspecting {name}"))
                say("starting Prefect")
                start_graphs(config, inputs, executor)
                summary = _run_flow(config, terminal, server)
    except (RunnerUnusable, UnusableInputs) as error:
        terminal.wrong(str(error))
        return WRONG_INPUT
    except (Interrupted, KeyboardInterrupt):
        terminal.failed(f"interrupted; every finished split is kept: run again to resume\n  {_again(config_path)}")
        return INTERRUPTED
    except ServerFailed as error:
        terminal.failed(str(error))
        return FAILED
    except Exception as error:
        if verbose:
            raise
        terminal.failed(f"{unexpected(error)}; --verbose shows more")
        return FAILED
    terminal.summary(summary)
    if as_json:
        print(json.dumps(_document(summary)), flush=True)
    failed = [name for name, report in summary["datasets"].items() if "error" in report]
    if failed:
        terminal.failed(f"what is finished is kept: mend the cause and run again to resume\n  {_again(config_path)}")
    return FAILED if failed else DONE


def _checked(config: RunConfig) -> RunConfig:
    """Make the configuration ready, and see that what it names is there. Raises UnusableInputs."""
    config = ready(config)
    if problems := unavailable(config, devices=config.runner != "gpu"):
        raise UnusableInputs(problems)
    return config


@contextlib.contextmanager
def _prefect_server() -> Iterator[EmbeddedServer | None]:
    """Start a server beside everything else, unless one is configured."""
    url = configured_server()
    if url is not None:
        with no_certificates_for(url):
            yield None
        return
    server = EmbeddedServer()
    server.start()
    os.environ["PREFECT_API_URL"] = server.url
    try:
        with no_certificates_for(server.url):
            yield server
    finally:
        server.stop()


def _run_flow(config: RunConfig, terminal: Terminal, server: EmbeddedServer | None) -> dict[str, Any]:
    """Run the flow, stopping it and its workers at once when asked to."""
    from cellstrata.flows.cluster import cluster  # here: Prefect takes 2 s to import, and workers must not
    from cellstrata.flows.monitor.outcome import summary_of

    gc.freeze()
    collect_again()
    ended = threading.Event()
    if server is not None:
        server.wait()
        server.when_lost(lambda reason: _give_up(reason, terminal))
    elif url := configured_server():
        when_unreachable(url, lambda reason: _give_up(reason, terminal), ended)
    terminal.say("clustering")

    async def until_stopped() -> dict[str, Any]:
        task = asyncio.ensure_future(cluster(config, return_state=True))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            stop_all()
            task.cancel()

        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sign, stop)
        try:
            return await summary_of(await task)
        except asyncio.CancelledError:
            raise Interrupted from None
        finally:
            for sign in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(sign)

    with terminal.progress():
        try:
            return asyncio.run(until_stopped())
        finally:
            ended.set()
            if server is not None:
                _flush_records()


def _give_up(reason: str, terminal: Terminal) -> NoReturn:
    """End at once: without its server Prefect would go on trying for minutes, and every split is kept."""
    stop_all()
    terminal.failed(f"{reason}; every finished split is kept: run again to resume")
    sys.stderr.flush()
    os._exit(FAILED)


def _flush_records() -> None:
    """Send what Prefect's client still holds before the server stops."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    with contextlib.suppress(Exception):  # records, not results: nothing here may fail a run
        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=5)


def _quiet_prefect(verbose: bool) -> None:
    """Keep Prefect's log off the terminal (the server keeps it), and its telemetry off the network."""
    level = "INFO" if verbose else "CRITICAL"
    for name, value in {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": level,
        "PREFECT_INTERNAL_LOGGING_LEVEL": "ERROR" if verbose else level,
        "PREFECT_LOGGING_EXTRA_LOGGERS": "cellstrata",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }.items():
        os.environ.setdefault(name, value)
    own, handler = logging.getLogger("cellstrata"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("cellstrata: %(message)s"))
    own.addHandler(handler)
    own.propagate = False


def _document(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what `--json` prints: for each dataset its output, columns, splits and seconds, or its error, and where
    the index of the reports is."""
    kept = ("output", "labels", "figures", "report", "columns", "clusters", "modularity", "splits", "seconds",
            "error", "notices")  # fmt: skip
    datasets = {
        name: {key: report[key] for key in kept if key in report} for name, report in summary["datasets"].items()
    }
    index = {key: summary[key] for key in ("index", "notices") if summary.get(key)}
    return {"datasets": datasets, **index, "seconds": summary["seconds"]}


def _again(config_path: str) -> str:
    words, value_of = list[str](), ""
    for word in map(without_credentials, sys.argv[1:]):
        name, equals, _ = word.partition("=")
        hides = name.startswith("--") and (is_secret(name) or name.startswith(("--storage_options", "--dask")))
        words.append(MASK if value_of else f"{name}={MASK}" if hides and equals else word)
        value_of = name if hides and not equals else ""
    return " ".join(["cellstrata", *words]) if words else f"cellstrata run {config_path}"
