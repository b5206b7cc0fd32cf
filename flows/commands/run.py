"""`cellstrata run`: read the configuration, inspect the inputs, run the flow, say how it went."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from cellstrata.configs.loading.load import load_config
from cellstrata.configs.secrets_mask import MASK, is_secret
from cellstrata.configs.shown_urls import without_credentials
from cellstrata.flows.commands.attempt import Attempt
from cellstrata.flows.commands.exit_codes import DONE, FAILED
from cellstrata.flows.commands.terminal import Terminal, unexpected
from cellstrata.flows.executors.executor import RunnerUnusable
from cellstrata.flows.launch import Interrupted, Launch
from cellstrata.flows.monitor.summary import RunSummary
from cellstrata.flows.preparation import UnusableInputs
from cellstrata.flows.server.embedded_server import ServerFailed
from cellstrata.tasks.stores.garbage_pause import collect_again


def run(config_path: str, overrides: Sequence[str], as_json: bool, verbose: bool, quiet: bool = False) -> int:
    """Run a configuration file; returns the exit code."""
    gc.disable()  # until everything is imported: nothing of it is garbage
    try:
        return _run(config_path, overrides, as_json, verbose, quiet)
    finally:
        collect_again()


def _run(config_path: str, overrides: Sequence[str], as_json: bool, verbose: bool, quiet: bool) -> int:
    terminal = Terminal(as_json, verbose, quiet)
    with Attempt(terminal) as reading:
        config, notices = load_config(config_path, overrides)
    if reading.code:
        return reading.code
    for notice in notices:
        terminal.notice(notice)
    quiet_prefect(verbose)
    launch = Launch(config, terminal, signals=(signal.SIGINT, signal.SIGTERM))
    summary, code = summary_or_code(launch, terminal, config_path, verbose)
    if summary is None:
        return code
    terminal.summary(summary)
    if as_json:
        print(json.dumps(summary.document()), flush=True)
    if summary.failed:
        terminal.failed(f"what is finished is kept: mend the cause and run again to resume\n  {_again(config_path)}")
    return FAILED if summary.failed else DONE


def summary_or_code(
    launch: Launch, terminal: Terminal, config_path: str, verbose: bool
) -> tuple[RunSummary | None, int]:
    """Run, and return what came of it, or None and the exit code where nothing did, which has been said."""
    with Attempt(
        terminal,
        interrupted=f"interrupted; every finished split is kept: run again to resume\n  {_again(config_path)}",
        wrong=(RunnerUnusable, UnusableInputs),
        stopped=(Interrupted,),
        foreseen=(ServerFailed,),
        failed=lambda error: f"{unexpected(error)}; --verbose shows more",
        verbose=verbose,
    ) as running:
        return launch.summary(lambda reason: _give_up(reason, launch, terminal), _collect_again), DONE
    return None, running.code


def _collect_again() -> None:
    """What is imported by now stays; from here on there is garbage."""
    gc.freeze()
    collect_again()


def _give_up(reason: str, launch: Launch, terminal: Terminal) -> NoReturn:
    """End at once: without its server Prefect would go on trying for minutes, and every split is kept."""
    launch.stop()
    terminal.failed(f"{reason}; every finished split is kept: run again to resume")
    sys.stderr.flush()
    os._exit(FAILED)


def quiet_prefect(verbose: bool) -> None:
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


def _again(config_path: str) -> str:
    words, value_of = list[str](), ""
    for word in map(without_credentials, sys.argv[1:]):
        name, equals, _ = word.partition("=")
        hides = name.startswith("--") and (is_secret(name) or name.startswith(("--storage_options", "--dask")))
        words.append(MASK if value_of else f"{name}={MASK}" if hides and equals else word)
        value_of = name if hides and not equals else ""
    return " ".join(["cellstrata", *words]) if words else f"cellstrata run {config_path}"
