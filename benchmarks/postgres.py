"""`python -m benchmarks.postgres --json FILE`: many runs at once on a team's server whose database is killed.

PostgreSQL from the distribution's packages (`apt-get install postgresql`), a Prefect server with the settings of
docs/team-server.md, two workers, deployments by `cellstrata deploy`, all over one cache. All runs are asked for at
once; when a part of them has ended, all processes of the database are killed, and after a while it is started again.
The automations of `deployments/automations` call those Crashed that were lost; all must end. Those that did not
complete are asked for again, as a user would. The labels of all must be those of a run without that server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from benchmarks.soak_runs import MARK, left_behind
from benchmarks.synthetic import write_synthetic
from tests import ROOT
from tests.flows.operating import ENDED, POOL, Operation, free_port, healthy, wait_until

PASSWORD = "prefect"  # the database listens on loopback, for as long as this takes
TEAM = {  # docs/team-server.md
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
LONGEST = 3600.0  # s that all runs may take
BEGINS_WITHIN = 120  # s from being taken by a worker to the beginning; the automation's ten minutes are for all pools
RESOLUTIONS = (0.2, 0.5, 1.0)
SEEDS = (0, 1)


class Postgres:
    """A database of PostgreSQL in a folder; a server that refuses to be root's is run by its package's own user."""

    def __init__(self, folder: Path) -> None:
        found = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self._programs = installed[-1] if installed else Path(found.stdout.strip())
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._folder, self.port = folder / "data", free_port()
        self._folder.mkdir()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._user:
            for path in (folder, self._folder, secret):
                shutil.chown(path, "postgres")
        self._do("initdb", "-D", self._folder, "-U", "prefect", "--auth=scram-sha-256", f"--pwfile={secret}")
        self.start()
        self._do("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "prefect", "prefect")

    @property
    def url(self) -> str:
        """As Prefect takes it."""
        return f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{self.port}/prefect"

    def _do(self, program: str, *arguments: object) -> str:
        command = [*self._user, str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, env=os.environ | {"PGPASSWORD": PASSWORD}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, cwd="/", check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}")
        return done.stdout.strip()

    def version(self) -> str:
        """Return the version of the server."""
        return self._do("postgres", "--version")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        how = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._do("pg_ctl", "-D", self._folder, "-o", how, "-l", self._folder / "log", "-w", "-t", 120, "start")

    def kill(self) -> int:
        """Kill it with all that it started, as when the machine is lost; returns how many processes."""
        main = psutil.Process(int((self._folder / "postmaster.pid").read_text().split()[0]))
        victims = [main, *main.children(recursive=True)]
        for process in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(victims, timeout=10)
        return len(victims)

    def stop(self) -> None:
        """Stop it."""
        with contextlib.suppress(RuntimeError):
            self._do("pg_ctl", "-D", self._folder, "-m", "immediate", "stop")

    def count(self, table: str) -> int:
        """Return the rows of a table."""
        ask = f"select count(*) from {table}"
        return int(self._do("psql", "-h", "127.0.0.1", "-p", self.port, "-U", "prefect", "-tAc", ask, "prefect"))


@contextlib.contextmanager
def team_server(folder: Path, database: Postgres, workers: int, limit: int) -> Iterator[Operation]:
    """Run a server on a database, and workers of its pool, each with at most `limit` runs at a time."""
    port = str(free_port())
    url = f"http://127.0.0.1:{port}/api"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = inherited | TEAM | {
        "PREFECT_HOME": f"{folder}/prefect", "PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "DO_NOT_TRACK": "1", "PREFECT_WORKER_QUERY_SECONDS": "3",
    }  # fmt: skip
    prefect = [sys.executable, "-m", "prefect"]
    processes: list[subprocess.Popen[bytes]] = []

    def begin(name: str, *arguments: str, **more: str) -> None:
        with (folder / f"{name}.log").open("wb") as log:
            processes.append(subprocess.Popen(
                [*prefect, *arguments], env=environment | more, stdout=log, stderr=log, cwd=folder))  # fmt: skip

    found = Operation(url, folder, environment | {"PREFECT_API_URL": url})
    try:
        begin("server", "server", "start", "--no-ui", "--port", port)
        wait_until(lambda: processes[0].poll() is not None or healthy(url), 300)
        found.ask("work_pools/", {"name": POOL, "type": "process"})
        for name in ("crash-lost-runs", "crash-unbegun-runs"):
            rule = folder / f"{name}.yaml"
            written = (ROOT / "deployments" / "automations" / rule.name).read_text()
            rule.write_text(written.replace("within: 600", f"within: {BEGINS_WITHIN}"))
            subprocess.run([*prefect, "automation", "create", "--from-file", str(rule)], env=found.environment,
                           check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        for number in range(workers):
            begin(f"worker {number}", "worker", "start", "--pool", POOL, "--type", "process", "--limit", str(limit),
                  PREFECT_API_URL=url)  # fmt: skip
        yield found
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Do it, and write what came of it."""
    parser = argparse.ArgumentParser("python -m benchmarks.postgres", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--deployments", type=int, default=10, help="a deployment has one run at a time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int, default=5, help="runs at a time of each worker")
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--kill_after", type=float, default=0.2, help="share of the runs that have ended by then")
    parser.add_argument("--away", type=float, default=15.0, help="s without a database")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    os.environ[MARK] = mark = os.urandom(8).hex()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "postgres").mkdir()
        database = Postgres(folder / "postgres")
        try:
            with team_server(folder, database, options.workers, options.limit) as server:
                report = _through(folder, database, server, options)
        finally:
            database.stop()
    wait_until(lambda: not left_behind(mark), 30)
    print(json.dumps(report, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(bool(report["problems"]))


def _say(what: str) -> None:
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def _through(folder: Path, database: Postgres, server: Operation, options: argparse.Namespace) -> dict[str, Any]:
    data = write_synthetic(folder / "planted.h5ad", options.cells, n_genes=20)
    asked = [(RESOLUTIONS[number % 3], SEEDS[number // 3 % 2]) for number in range(options.runs)]
    expected = {seed: _labels_without(folder, data, seed) for seed in sorted({seed for _, seed in asked})}
    names = [
        server.deploy(_config(folder, data, name, RESOLUTIONS, 0), "--name", name)
        for name in (f"d{number}" for number in range(options.deployments))
    ]
    _say(f"{len(names)} deployments are made")
    began = time.monotonic()

    def start(number: int) -> str:
        resolution, seed = asked[number]
        config = json.loads(_config(folder, data, f"run {number}", [resolution], seed).read_text())
        return server.start(names[number % len(names)], config=config)

    runs = [start(number) for number in range(options.runs)]
    wait_until(lambda: _ended(server, runs) >= options.kill_after * len(runs), LONGEST, server.log)
    before = Counter(server.state(run)["type"] for run in runs)
    _say(f"killing the database: {dict(before)}")
    killed, at = database.kill(), time.monotonic()
    time.sleep(options.away)
    database.start()
    _say("it is there again")
    wait_until(lambda: _ended(server, runs) == len(runs), LONGEST, server.log)
    states = [server.state(run) for run in runs]
    first = time.monotonic() - began
    _say(f"all have ended: {dict(Counter(state['type'] for state in states))}")
    again = [number for number, state in enumerate(states) if state["type"] != "COMPLETED"]
    second = {number: start(number) for number in again}
    wait_until(lambda: _ended(server, list(second.values())) == len(second), LONGEST, server.log)
    ends = {number: server.state(run)["type"] for number, run in second.items()}
    found = [_labels(folder / f"run {number}") for number in range(options.runs)]
    wrong = [number for number, (_, seed) in enumerate(asked) if found[number].empty
             or not found[number].equals(expected[seed][found[number].columns])]  # fmt: skip
    problems = [f"run {number} has other labels" for number in wrong]
    problems += [f"run {number} ended {end} when asked again" for number, end in ends.items() if end != "COMPLETED"]
    return {
        "postgres": database.version(), "runs": len(runs), "deployments": len(names), "workers": options.workers,
        "cells": options.cells, "states_when_killed": dict(before), "processes_killed": killed,
        "seconds_to_kill": round(at - began, 1), "seconds_away": options.away, "seconds": round(first, 1),
        "states": dict(Counter(state["type"] for state in states)),
        "messages": sorted({str(states[number]["message"])[:300] for number in again}),
        "asked_again": dict(Counter(ends.values())), "flow_runs": database.count("flow_run"),
        "task_runs": database.count("task_run"), "problems": problems,
    }  # fmt: skip


def _ended(server: Operation, runs: Sequence[str]) -> int:
    """Return how many runs have ended; a server without its database does not say."""
    which = {"flow_runs": {"id": {"any_": list(runs)}}, "limit": 200}
    try:
        found = server.ask("flow_runs/filter", which) if runs else []
    except OSError:
        time.sleep(1)
        return -1
    return sum(run["state_type"] in ENDED for run in found)


def _config(folder: Path, data: Path, name: str, resolutions: Sequence[float], seed: int) -> Path:
    clustering = {
        "algorithm": "leiden", "resolutions": list(resolutions), "hierarchy": 2, "seed": seed,
        "recompute_neighbors": True, "neighbors": {"use_rep": "X_pca"},
    }  # fmt: skip
    document = {
        "output_dir": str(folder / name), "cache": str(folder / "cache"), "workers": 1, "figures": False,
        "DATASETS": {"d": {"input": {"clustering": {"f": str(data)}}, "clustering": clustering}},
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path


def _labels_without(folder: Path, data: Path, seed: int) -> pd.DataFrame:
    name = f"without {seed}"
    config = _config(folder, data, name, RESOLUTIONS, seed)
    document = json.loads(config.read_text()) | {"cache": str(folder / "own cache")}
    config.write_text(json.dumps(document))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = inherited | {"PREFECT_HOME": f"{folder}/own", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    subprocess.run([sys.executable, "-m", "cellstrata", "run", str(config), "--json"], env=environment, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    return _labels(folder / name)


def _labels(output: Path) -> pd.DataFrame:
    """Read the table of labels of a run, as text; an empty one where there is none."""
    for path in output.rglob("labels.parquet"):
        return pd.read_parquet(path).astype(str)
    return pd.DataFrame()


if __name__ == "__main__":
    main()
