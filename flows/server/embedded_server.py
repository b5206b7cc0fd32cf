"""A Prefect API server of the run's own, for a laptop on which none is configured.

Prefect can start one itself, but only when the first flow begins, with a time limit that a cold disk
exceeds, and it prints tracebacks and loses task runs when it stops. This one starts at once, while
inputs are inspected; its services are reduced to those that a single run needs; it has a
database of its own, which `cellstrata ui` shows; and it is stopped only
when the run's records are written. It ends by itself when its run is killed.

Related: PrefectHQ/prefect#16397 (the time limit, closed) and #19771 (tracebacks of a locked database, closed). Of
lost task runs no upstream issue is known (2026-11-28). This file can go when Prefect's own server can be started
ahead of the flow, is waited for as long as it takes, and ends when all that it was sent is written.

Run as a module, this file is that server: `python -m cellstrata.flows.server.embedded_server PORT`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import cellstrata
from cellstrata.flows.server.database import DATABASE, first_start, made, server_folder, with_own_database

STARTUP_LIMIT = 180.0  # seconds; the first start makes the database
# A run on its own needs none of the services that look after schedules, workers and clean-up, and
# writes its task runs in batches: one by one, most would be lost when the server stops.
SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


_ERROR = re.compile(r"^ *([A-Za-z_][\w.]*(?:Error|Exception|Exit): .+)$", re.MULTILINE)  # the last line of a traceback


class ServerFailed(RuntimeError):
    """A run's Prefect server did not start, does not answer, or was lost; the message says why."""


class EmbeddedServer:
    """A server process; `start` returns at once, `wait` when it answers."""

    def __init__(self) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._answers = False
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None
        self._making: IO[bytes] | None = None  # a lock, while the database is made

    @property
    def is_temporary(self) -> bool:
        """Tell whether its database goes with it, because the folder for it cannot be written to."""
        return self._temporary is not None

    def start(self) -> None:
        """Start the process."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        environment = {k: v for k, v in os.environ.items() if k not in ("PREFECT_API_URL", "PREFECT_API_KEY")}
        root = str(Path(cellstrata.__file__).parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH")]))
        folder = server_folder()
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="cellstrata-prefect-", ignore_cleanup_errors=True)
            folder = Path(self._temporary.name)
        self._folder, self._making = folder, first_start(folder)
        self._process = subprocess.Popen(
            # -P: the user's folder may hold a package of any name
            [sys.executable, "-P", "-m", "cellstrata.flows.server.embedded_server", str(self.port)],
            stdin=subprocess.PIPE,  # it ends when this closes, however this process ends
            stdout=self._log,
            stderr=self._log,
            env=with_own_database(environment, folder) | SETTINGS,
            start_new_session=True,  # Ctrl-C is for the run, which stops the server last
        )

    def wait(self) -> None:
        """Wait until the server answers.

        Raises
        ------
        ServerFailed
            If it ends, or does not answer in time.
        """
        assert self._process is not None
        until = time.monotonic() + STARTUP_LIMIT
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise ServerFailed(f"the embedded Prefect server ended at once:\n{self._last_words()}")
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer,
            ):
                if answer.status == 200:
                    self._answers = True
                    self._database_made()
                    return
            time.sleep(0.05)
        raise ServerFailed(
            f"the embedded Prefect server did not answer in {STARTUP_LIMIT:.0f} s:\n{self._last_words()}"
        )

    def stop(self) -> None:
        """Stop the process, gently and then not."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=5 if self._answers else 0)  # one that is still starting has no records
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._making is not None:
            self._making.close()
        if self._log is not None:
            self._log.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _database_made(self) -> None:
        if self._making is not None and self._folder is not None:
            made(self._folder)
            self._making.close()
            self._making = None

    def when_lost(self, call: Callable[[str], None]) -> None:
        """Call, from another thread, with a line that says so, if the server ends without being stopped."""

        def watch(process: subprocess.Popen[bytes]) -> None:
            process.wait()
            if self._process is process:
                call(f"the embedded Prefect server ended during the run (exit code {process.returncode})")

        assert self._process is not None
        threading.Thread(target=watch, args=(self._process,), daemon=True).start()

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        errors = _ERROR.findall(text)
        return str(errors[-1]) if errors else text[-2000:]


def configured_server() -> str | None:
    """Return the URL of the user's own Prefect server, None where there is none, without importing Prefect.

    Looks where Prefect looks: the environment, the active profile, `prefect.toml`, `pyproject.toml`
    and `.env` in the working folder. Empty where an embedded server is forbidden: what then happens
    is for Prefect to say.
    """
    for url in (os.environ.get("PREFECT_API_URL"), _url_of_folder(), _url_of_profile()):
        if url:
            return url
    for name in ("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "PREFECT_SERVER_EPHEMERAL_ENABLED"):
        if os.environ.get(name, "").lower() in ("0", "false", "no", "off"):
            return ""
    return None


def names_database() -> bool:
    """Tell whether the user's own settings name a database for a Prefect server, without importing Prefect."""
    tables = [_toml(Path("prefect.toml")), _toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})]
    named = [*os.environ, *_profile()]
    return any(name.startswith(DATABASE) for name in named) or any("database" in t.get("server", {}) for t in tables)


def _url_of_profile() -> str | None:
    return _profile().get("PREFECT_API_URL")


def _profile() -> dict[str, Any]:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    profiles = _toml(Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"))
    active = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    found: dict[str, Any] = profiles.get("profiles", {}).get(active, {}) if active else {}
    return found


def _url_of_folder() -> str | None:
    tables = [_toml(Path("prefect.toml")), _toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})]
    lines = Path(".env").read_text(errors="replace").splitlines() if Path(".env").is_file() else []
    named = [line.split("=", 1)[1].strip(" '\"") for line in lines if line.startswith("PREFECT_API_URL=")]
    return next(iter([*named, *(str(url) for table in tables if (url := table.get("api", {}).get("url")))]), None)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RetrySoon:
    """Ask clients to come again soon when SQLite was busy; without that they wait 2 s and more."""

    SECONDS = b"0.3"

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and mark an answer of 503."""

        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                message["headers"] = [*message.get("headers", []), (b"retry-after", self.SECONDS)]
            await send(message)

        await self._app(scope, receive, marked if scope["type"] == "http" else send)


def _serve(port: int) -> None:
    gc.disable()  # nothing of what the imports make is garbage; collecting takes a fifth of the start
    import uvicorn
    from prefect.server.api.server import create_app

    from cellstrata.flows.server.idle_collection import CollectWhenIdle
    from cellstrata.flows.server.sqlite_writing import begin_writing_at_once

    begin_writing_at_once()
    app = create_app()
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(
        RetrySoon(CollectWhenIdle(app)),
        host="127.0.0.1",
        port=port,
        log_level="error",  # of a start that fails, why
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)

    def end_with_run() -> None:
        while os.read(0, 1024):  # returns nothing when the run closes its end, or is gone
            pass
        server.should_exit = True
        time.sleep(4)
        os._exit(0)

    threading.Thread(target=end_with_run, daemon=True).start()
    server.run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
