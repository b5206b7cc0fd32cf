"""The runner `gpu`: the owner of each GPU, beside a pool of processes for what is computed on the CPU.

One GPU is owned by one process of its own: nothing is gained there by a cluster, and a process that
dies is replaced like any other. Several are owned by the workers of a `dask_cuda.LocalCUDACluster`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cellstrata.flows.executors.executor import ClusterLost, Executor, RunnerUnusable, Settings, T, WorkerDied
from cellstrata.flows.executors.processes import Processes
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.workers.gpu_owner import (
    TooLarge,
    device_bytes,
    off_device,
    on_device,
    start_beside_owner,
    status_of_owner,
    wants_gpu,
)

log = logging.getLogger("cellstrata.gpu")


def open_gpu(settings: Settings) -> Executor:
    """Open the runner, or the runner `processes` in its stead, whose notices then say why.

    Raises
    ------
    RunnerUnusable
        If a GPU is required and none can be used.
    """
    if not settings.use_gpu:
        return _without(settings, "no dataset asks for a GPU with `use_gpu`")
    owner: Executor = Processes(replace(settings, cpus=1))
    try:
        status: GpuStatus = owner.run(status_of_owner)
    except WorkerDied:
        status = GpuStatus("looking for a GPU killed the process that did")
    except BaseException:
        owner.stop()
        raise
    if not status.available:
        owner.close()
        if settings.use_gpu == "required":
            raise RunnerUnusable([f"runner: `gpu`, and use_gpu: required, but there is no device: {status.reason}"])
        return _without(settings, status.reason, status)
    notices = []
    if status.devices > 1:
        several = _several(settings)
        if isinstance(several, str):
            notices.append(f"one of {status.devices} GPUs is used: {several}")
        else:
            owner.close()
            owner = several
    return Gpu(settings, owner, status, notices)


class Gpu:
    """Sends what is for a GPU to its owner and everything else to a pool of processes, which see no GPU."""

    def __init__(self, settings: Settings, owner: Executor, status: GpuStatus, notices: list[str]) -> None:
        self.status: GpuStatus | None = status
        self.notices = notices
        self._owner, self._beside = owner, Processes(settings, start_beside_owner)
        self.at_once = self._beside.at_once + owner.at_once
        self.threads = self._beside.threads

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Run by the owner of a GPU, or in the pool: what is not for a GPU, is too large for it or killed its owner.

        Raises
        ------
        WorkerDied
            If it kills a process of the pool too.
        """
        return self._placed(self._beside.run, function, *args)

    def run_apart(self, function: Callable[..., T], *args: object) -> T:
        """The same, with a process of its own instead of the pool."""
        return self._placed(self._beside.run_apart, function, *args)

    def _placed(self, beside: Callable[..., Any], function: Callable[..., T], *args: object) -> T:
        result: T
        if not wants_gpu(args):
            result = beside(function, *args)
            return result
        try:
            result = self._owner.run(on_device, device_bytes(args), function, *args)
            return result
        except TooLarge as error:
            reason = str(error)
        except (WorkerDied, ClusterLost) as error:
            reason = f"the process that owns the GPU was lost over it ({error})"
        log.warning("the CPU does what a GPU was asked for: %s", reason)
        result = beside(off_device, reason, function, *args)
        return result

    def stop(self) -> None:
        """Stop all of them."""
        self._owner.stop()
        self._beside.stop()

    def close(self) -> None:
        """Let all of them end."""
        self._owner.close()
        self._beside.close()


def _several(settings: Settings) -> Executor | str:
    """Return the owners of all GPUs, or why there are none."""
    if importlib.util.find_spec("dask_cuda") is None:
        return "dask-cuda is not installed"
    with IMPORTING:
        from cellstrata.flows.executors.dask import Dask
        from cellstrata.flows.executors.dask_checks import local_cluster

    try:
        with IMPORTING:
            make = importlib.import_module("dask_cuda").LocalCUDACluster
        asked = settings.dask.model_copy(update={"address": None, "memory_limit": None})
        ours = replace(settings, dask=asked, cache=None)
        return Dask(ours, local_cluster(ours, make, n_workers=None, threads_per_worker=1))
    except Exception as error:  # whatever its libraries and the driver raise
        return f"dask-cuda cannot start ({error})"


def _without(settings: Settings, reason: str, status: GpuStatus | None = None) -> Executor:
    executor = Processes(settings)
    executor.notices.append(f"runner: `gpu` computes as `processes` does: {reason}")
    executor.status = status
    return executor
