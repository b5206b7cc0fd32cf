"""A Prefect server with all its services, a worker of a process pool, and what one asks and tells them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil

from tests import ROOT

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
POOL = "operations"
SOON = {  # what takes ten seconds or thirty by default
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}


@dataclass
class Operation:
    """A server, and the worker that runs what is due; both are processes of their own."""

    url: str
    home: Path
    environment: dict[str, str]
    worker: psutil.Popen | None = field(default=None)

    def ask(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Ask the server's API."""
        request = urllib.request.Request(
            f"{self.url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        for attempt in range(20):
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or attempt == 19:  # SQLite was busy
                    raise
                time.sleep(0.5)
        return None

    def deploy(self, config: Path | str, *options: str) -> str:
        """Deploy by the command; returns the name of the deployment."""
        from cellstrata.flows.commands.command import main
        from cellstrata.flows.server.connection import Connection

        printed = io.StringIO()
        there = patch.dict(os.environ, PREFECT_API_URL=self.url)
        with there, Connection(self.url).settings(), contextlib.redirect_stdout(printed):
            assert main(["deploy", str(config), "--pool", POOL, *options]) == 0
        return printed.getvalue().split()[0]

    def start_worker(self, **environment: str) -> None:
        """Start the worker if there is none."""
        if self.worker is None or not self.worker.is_running():
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
            with (self.home / "worker.log").open("ab") as log:
                self.worker = psutil.Popen(
                    command, env=self.environment | environment, cwd=self.home, stdout=log, stderr=log
                )

    def kill_worker(self) -> None:
        """Kill the worker and all that it started, as when the machine is lost."""
        if self.worker is not None:
            victims = [self.worker, *self.processes()]
            for process in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(victims, timeout=10)
            self.worker = None

    def processes(self) -> list[psutil.Process]:
        """What the worker runs now."""
        assert self.worker is not None
        return list(self.worker.children(recursive=True))

    def start(self, name: str, **parameters: Any) -> str:
        """Have a deployment run now, with parameters that go over its own; returns the id of the run."""
        deployment = self.ask(f"deployments/name/{name}", method="GET")
        asked = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        return str(self.ask(f"deployments/{deployment['id']}/create_flow_run", asked)["id"])

    def remove(self, name: str) -> None:
        """Remove a deployment, with the runs that it has scheduled."""
        deployment = self.ask(f"deployments/name/{name}", method="GET")
        self.ask(f"deployments/{deployment['id']}", method="DELETE")

    def runs(self, name: str) -> list[dict[str, Any]]:
        """The runs of a deployment that have begun, first come first."""
        deployment = self.ask(f"deployments/name/{name}", method="GET")
        which = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "START_TIME_ASC", "limit": 100}
        return [run for run in self.ask("flow_runs/filter", which) if run["start_time"]]

    def state(self, run: str) -> dict[str, Any]:
        """The state of a run."""
        found: dict[str, Any] = self.ask(f"flow_runs/{run}", method="GET")["state"]
        return found

    def set_state(self, run: str, kind: str, **more: Any) -> None:
        """Do what the UI's buttons do: CANCELLING for Cancel, SCHEDULED and AwaitingRetry for Retry."""
        told = self.ask(f"flow_runs/{run}/set_state", {"state": {"type": kind, **more}, "force": False})
        assert told["status"] == "ACCEPT", told

    def end_of(self, run: str, seconds: float = 200) -> dict[str, Any]:
        """Wait until a run has ended; returns its state."""
        wait_until(lambda: self.state(run)["type"] in ENDED, seconds, self.log)
        return self.state(run)

    def log(self) -> str:
        """The worker's log."""
        return (self.home / "worker.log").read_text(errors="replace")


def wait_until(there: Callable[[], Any], seconds: float, told: Callable[[], str] = str) -> None:
    """Wait for something to become true, and fail if it does not in time."""
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, told()[-3000:]
        time.sleep(0.2)  # each look may ask the server


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def computed_and_cached(message: str) -> tuple[int, int]:
    """Read the counts of splits from a state's message."""
    if found := re.search(r"([\d,]+) of [\d,]+ splits computed, ([\d,]+) from cache", message):
        computed, cached = (int(number.replace(",", "")) for number in found.groups())
        return computed, cached
    found = re.search(r"nothing computed, all ([\d,]+) splits from cache", message)
    assert found, message
    return 0, int(found[1].replace(",", ""))


@contextlib.contextmanager
def operation(home: Path, database: Path) -> Iterator[Operation]:
    """Start a server, on a copy of an empty database of SQLite in a home of its own, and end it and its worker."""
    (home / "prefect").mkdir()
    shutil.copy(database, home / "prefect" / "prefect.db")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = inherited | SOON | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(home / "prefect")}
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    found = Operation(url, home, environment | {"PREFECT_API_URL": url})
    try:
        wait_until(lambda: server.poll() is not None or healthy(url), 200)
        assert server.poll() is None, (home / "server.log").read_text()
        yield found
    finally:
        found.kill_worker()
        server.send_signal(signal.SIGINT)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def healthy(url: str) -> bool:
    """Tell whether a server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
