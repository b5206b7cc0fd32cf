"""Before a run computes on a Dask cluster: that it is there, and that its workers are fit for this run."""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from distributed import Client, LocalCluster
from distributed.security import Security

from cellstrata.configs.dask import DaskConfig
from cellstrata.configs.errors import at_most
from cellstrata.flows.executors.bare_spawn import bare_main
from cellstrata.flows.executors.executor import WORKER_ENVIRONMENT, RunnerUnusable, Settings
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.store import protocol_of
from cellstrata.tasks.workers.remote import cannot_see, differences, facts, look_for

FEW_FAILURES = 1  # workers that die over some work before it is tried alone; Dask's own number is 3


def local_cluster(settings: Settings, make: Any = LocalCluster, **more: Any) -> Any:
    """Open a cluster on this machine: processes of one thread each, and no dashboard, if nothing else is asked.

    Raises
    ------
    RunnerUnusable
        If its options do not allow it.
    """
    asked = settings.dask
    options: dict[str, Any] = {
        "n_workers": asked.n_workers or settings.cpus,
        "threads_per_worker": asked.threads_per_worker,
        # Dask's own limit counts on data spread evenly; the largest split may need more than its share.
        "memory_limit": asked.memory_limit or 0,
        "dashboard_address": asked.dashboard_address,
        "scheduler_kwargs": {"allowed_failures": FEW_FAILURES},
        "silence_logs": logging.CRITICAL,
        "env": WORKER_ENVIRONMENT,
    }
    if asked.local_directory is not None:
        options["local_directory"] = asked.local_directory
    try:
        with bare_main():
            return make(**options | more)
    except Exception as error:
        raise RunnerUnusable([f"dask: no cluster can be started on this machine ({_short(error)})"]) from error


def connect(asked: DaskConfig, cluster: object = None) -> Client:
    """Connect to a scheduler.

    Raises
    ------
    RunnerUnusable
        If none answers within `dask.timeout` seconds.
    """
    more: dict[str, object] = {"timeout": asked.timeout, "set_as_default": False}
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it is said by us
    if cluster is not None:
        return Client(cluster, **more)
    try:
        if (asked.address or "").startswith("tls://"):
            files = {name: getattr(asked, name) for name in ("tls_ca_file", "tls_client_cert", "tls_client_key")}
            given = {name: file for name, file in files.items() if file is not None}
            more["security"] = Security(require_encryption=True, **given)
        return Client(asked.address, **more)
    except Exception as error:
        raise RunnerUnusable(
            [f"dask.address: no Dask scheduler answers at {asked.address} within {asked.timeout} s ({_short(error)})"]
        ) from None


def when_there(client: Client, timeout: float) -> Mapping[str, int]:
    """Wait for the first worker; return the threads of each that is there, by its address.

    Raises
    ------
    RunnerUnusable
        If none comes in time.
    """
    until = time.monotonic() + timeout
    while not (workers := client.nthreads()):
        if time.monotonic() > until:
            where = client.scheduler.address if client.scheduler else "?"
            raise RunnerUnusable([f"dask: the scheduler {where} has no workers, and none came within {timeout:g} s"])
        time.sleep(0.1)
    return dict(workers)


def problems_of(client: Client, settings: Settings, *, external: bool) -> list[str]:
    """Say what is wrong with the workers of a cluster; `external` tells that it is not of our making.

    Raises
    ------
    RunnerUnusable
        If it has none.
    """
    if settings.cache is not None and protocol_of(settings.cache) == "memory":
        return [f"cache: {settings.cache} lies in the memory of this process; name a place that all workers see"]
    if not external:
        return []
    when_there(client, settings.dask.timeout)
    problems = _unlike(client)
    cache = settings.open_cache()
    if cache is not None and not problems:
        problems = _blind(client, cache)
    return at_most(problems)


def _unlike(client: Client) -> list[str]:
    own, problems = facts(), []
    for worker, found in _everywhere(client, facts).items():
        if isinstance(found, ModuleNotFoundError):
            problems.append(f"dask: worker {worker} has no {found.name}; install the same cellstrata there")
        elif isinstance(found, BaseException):
            problems.append(f"dask: worker {worker} cannot be used ({_short(found)})")
        elif wrong := differences(own, found):
            problems.append(f"dask: worker {worker} has {'; '.join(wrong)}; install the same there")
    return problems


def _blind(client: Client, cache: Cache) -> list[str]:
    problems = []
    with _marked(cache) as look:
        for worker, reason in _everywhere(client, cannot_see, look).items():
            if reason is not None:
                why = reason if isinstance(reason, str) else _short(reason)
                problems.append(
                    f"cache: worker {worker} does not see {cache.store.url} ({why}); "
                    "name a place that all workers see, as a bucket, and give them its credentials"
                )
    return problems


def _everywhere(client: Client, function: Any, *args: Any) -> dict[str, Any]:
    """Call a function in every worker, out of turn; an exception is a result."""
    found: dict[str, Any] = client.run(function, *args, on_error="return")
    return found


@contextlib.contextmanager
def _marked(cache: Cache) -> Iterator[bytes]:
    """Leave something in a cache that whoever sees it can find."""
    name, content = f".cellstrata-probe-{uuid.uuid4().hex}", uuid.uuid4().bytes
    cache.store.write(name, content)
    try:
        yield look_for(cache, name, content)
    finally:
        cache.store.remove(name)


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
