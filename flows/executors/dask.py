"""The runner `dask`: the workers of a Dask cluster, of an existing one or of one on this machine.

Dask gives work to workers, and to others when a worker dies. What it does not do is here: knowing
that its workers are fit for this run, outliving a scheduler, blaming the right work for a worker's
death, and leaving nothing behind. Results are small and go at once; arrays travel by the cache.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import dask
from distributed import Future, KilledWorker

from cellstrata.flows.executors.dask_checks import connect, local_cluster, problems_of, when_there
from cellstrata.flows.executors.executor import CPUS_ONLY, ClusterLost, RunnerUnusable, Settings, Stopped, T
from cellstrata.flows.executors.processes import Processes
from cellstrata.flows.executors.turns import Turns
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.workers.remote import UnfitWorker, call, facts, packed, usable_threads

LOOK_AGAIN = 1.0  # seconds, between looks at whether the cluster is still there
LET_GO = 10  # seconds for the cluster to take note that a run has ended


class Dask:
    """Runs functions on the workers of a cluster; those for a process of their own on this machine."""

    def __init__(self, settings: Settings, cluster: Any = None) -> None:
        """`cluster` is one on this machine that is open already, and which is then closed with this.

        Raises
        ------
        RunnerUnusable
            If the cluster is not there, or its workers are not fit for this run.
        """
        self._asked = settings.dask
        self.where = self._asked.address or "on this machine"
        self.notices: list[str] = []
        self.status: GpuStatus | None = CPUS_ONLY
        self._turns = Turns()
        self._apart = Processes(settings)
        self._facts = facts()
        self._stopped = False
        self._lost = ""
        self._waiting: dict[Future[Any], threading.Event] = {}
        self._lock = threading.Lock()
        self._ending: threading.Thread | None = None
        # What is sent are row numbers: 4 bytes a cell, once for a split.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "4GB"})
        self._cluster = cluster
        try:
            if self._asked.address is None and cluster is None:
                self._cluster = local_cluster(settings)
            self._client = connect(self._asked, self._cluster)
            if wrong := problems_of(self._client, settings, external=self._asked.address is not None):
                raise RunnerUnusable(wrong)
            workers = when_there(self._client, self._asked.timeout)
            self.at_once = settings.workers if self._asked.address and settings.workers else sum(workers.values())
            self.threads = self._threads()
        except BaseException:
            self.stop()
            self.close()
            raise
        threading.Thread(target=self._watch, daemon=True).start()

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Run on a worker; where workers die over it, or have no memory left, once more while nothing else runs.

        Raises
        ------
        WorkerDied
            If workers die over it also then.
        ClusterLost
            If the scheduler, or all workers, are gone for longer than the run waits for them.
        """
        return self._turns.twice(lambda: self._on_cluster(function, *args), KilledWorker)

    def run_apart(self, function: Callable[..., T], *args: Any) -> T:
        """Run in a process of its own on this machine, which has read the inputs already."""
        return self._apart.run_apart(function, *args)

    def stop(self) -> None:
        """Cancel everything and let go of the cluster; whoever waits gets an error. Returns at once."""
        self._stopped = True
        self._apart.stop()
        self._wake()
        with self._lock:
            if self._ending is None:
                self._ending = threading.Thread(target=self._end, daemon=True)
                self._ending.start()

    def close(self) -> None:
        """Let go of the cluster; one on this machine ends."""
        self.stop()
        assert self._ending is not None
        self._ending.join(LET_GO)
        self._apart.close()

    def _on_cluster(self, function: Callable[..., T], *args: object) -> T:
        what = packed(self._facts, function, args)
        key = f"cellstrata-{getattr(function, '__name__', 'call')}"
        while True:  # again when its scheduler has been away: who is finished finds its result in the cache
            self._check()
            try:
                future = self._client.submit(call, what, key=f"{key}-{uuid.uuid4().hex}", pure=False)
            except Exception:
                self._pause()
                continue
            try:
                status = self._settled(future)
                if status == "error":
                    raise future.exception()
                if status == "finished":
                    with contextlib.suppress(Exception):  # the connection, and not the work, has failed
                        result: T = future.result(timeout=self._asked.timeout)
                        return result
            except UnfitWorker as error:
                self._lose(f"a worker that has joined the cluster {self.where} is not like this process: {error}")
            finally:
                with contextlib.suppress(Exception):
                    future.release()
            self._pause()

    def _settled(self, future: Future[Any]) -> str:
        """Wait until a future has an outcome, or the run has none to wait for."""
        ready = threading.Event()
        with self._lock:
            self._waiting[future] = ready
        try:
            future.add_done_callback(lambda _: ready.set())
            while not ready.wait(LOOK_AGAIN) and not future.done():
                self._check()
        finally:
            with self._lock:
                self._waiting.pop(future, None)
        self._check()
        return str(future.status)

    def _check(self) -> None:
        if self._stopped:
            raise Stopped("stopped")
        if self._lost:
            raise ClusterLost(self._lost)

    def _pause(self) -> None:
        self._check()
        time.sleep(0.2)

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or f"{reason}; every finished split is kept"
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            for ready in self._waiting.values():
                ready.set()

    def _watch(self) -> None:
        """Notice when the cluster is gone for good: nobody who waits for it would."""
        seen = time.monotonic()
        while not self._stopped and not self._lost:
            time.sleep(LOOK_AGAIN)
            with contextlib.suppress(Exception):
                if self._client.status == "running" and self._client.nthreads():
                    seen = time.monotonic()
            away = time.monotonic() - seen
            if self._client.status == "closed" or (self._client.status != "running" and away > self._asked.timeout):
                self._lose(f"the Dask scheduler {self.where} is gone, and has not come back in {away:.0f} s")
            elif away > self._asked.timeout:
                self._lose(f"the Dask cluster {self.where} has had no worker for {away:.0f} s")

    def _threads(self) -> int:
        """As many as a worker's machine has: only level 1's graph uses them, and nothing else can run then."""
        with contextlib.suppress(Exception):
            return int(max(1, min(self._client.run(usable_threads).values())))
        return 1

    def _end(self) -> None:
        client = getattr(self, "_client", None)
        with self._lock:
            futures = list(self._waiting)
        with contextlib.suppress(Exception):
            if client is not None and client.status == "running" and futures:
                client.cancel(futures, force=True)
        with contextlib.suppress(Exception):
            if client is not None:
                client.close(timeout=LET_GO / 2)
        with contextlib.suppress(Exception):
            if self._cluster is not None:
                self._cluster.close(timeout=LET_GO / 2)
