"""A Dask cluster as a site has it: a scheduler and workers of their own on loopback, which are there before the run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import ROOT


class Cluster:
    """A scheduler, and workers that are started and killed by hand."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.folder = folder
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.addresses: list[str] = []

    def start_scheduler(self) -> None:
        """Start a scheduler at the cluster's address."""
        words = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._start(words, {})
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"no scheduler answers at {self.address}")

    def start_worker(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, without a nanny: one that is killed stays dead."""
        words = ["worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        port = free_port()
        self.addresses.append(f"tcp://127.0.0.1:{port}")
        words += ["--worker-port", str(port), "--memory-limit", "0", "--local-directory", str(self.folder)]
        self.workers.append(self._start(words, environment or {}))
        return self.workers[-1]

    def _start(self, words: list[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                env=os.environ | {"PYTHONPATH": str(ROOT)} | more, cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        """All that scheduler and workers have written."""
        return (self.folder / "dask.log").read_text()

    def kill(self, process: subprocess.Popen[bytes] | None) -> None:
        """Kill one of them."""
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill all of them."""
        for process in [*self.workers, self.scheduler]:
            self.kill(process)


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def cluster_at(folder: Path) -> Iterator[Cluster]:
    """Start a scheduler without workers; everything is killed in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(folder)
    cluster.start_scheduler()
    try:
        yield cluster
    finally:
        cluster.close()
