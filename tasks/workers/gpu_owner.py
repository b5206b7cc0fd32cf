"""One process owns a GPU: what that process does, what those beside it do, and which work is for whom.

A device is used by its owner alone: two processes would each hold a context there, and neither would
know how much memory the other is about to take.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from cellstrata.tasks.cache.cache import ArrayRef
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.gpu import GpuStatus, free_memory, gpu_status, withheld
from cellstrata.tasks.trees.jobs import Job
from cellstrata.tasks.workers.process import start_worker

T = TypeVar("T")
GPU_METHODS = ("cuvs-", "cuml-")  # how the methods of a GPU begin, for neighbours and UMAP
# Bytes for each stored edge: its index and weight, and cuGraph's own copies of both while it builds and
# coarsens the graph. An estimate that was not yet measured; who exceeds it all the same falls back later.
PER_EDGE = 64
SYMMETRIC = 2  # stored edges for each neighbour of a cell, at the most


class TooLarge(RuntimeError):
    """The device has less free memory than some work needs."""


def wants_gpu(arguments: Sequence[object]) -> bool:
    """Tell whether a call is for a GPU, by its arguments: jobs know it, other steps name a GPU's method.

    A job is for one where its plan's wish allows it and it has a node of at least `n_cell_cpu` cells.
    """
    method = arguments[-1] if arguments else None
    named = isinstance(method, str) and method.startswith(GPU_METHODS)
    return named or any(isinstance(each, Job) and each.on_gpu for each in arguments)


def device_bytes(arguments: Sequence[object]) -> int:
    """Estimate what a call for a GPU takes of its memory, in bytes."""
    most = 0
    for each in arguments:
        if isinstance(each, Job):
            edges = max(node.n_cells * node.spec.neighbors.n_neighbors * SYMMETRIC for node in each.nodes)
            most = max(most, edges * PER_EDGE)
        elif isinstance(each, ArrayRef):
            most = max(most, 3 * 4 * math.prod(each.shape))  # the cells, and two forms of them
    return most


def start_beside_owner() -> None:
    """Start a worker that sees no device."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    start_worker()


def on_device(needed: int, function: Callable[..., T], *arguments: object) -> T:
    """Call a function in the process that owns the device, if that has `needed` bytes left.

    Raises
    ------
    TooLarge
        If it has not.
    """
    free_memory()
    with IMPORTING:
        cupy = importlib.import_module("cupy")
    free = int(cupy.cuda.runtime.memGetInfo()[0])
    if needed > free:
        raise TooLarge(f"about {needed / 2**30:.1f} GiB are needed, and the GPU has {free / 2**30:.1f} GiB free")
    return function(*arguments)


def off_device(reason: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that is for a GPU without one; what it computes records the reason."""
    with withheld(reason):
        return function(*(_without_must(each) for each in arguments))


def _without_must(argument: object) -> object:
    """A GPU that is required is there, and it was asked: the CPU may answer in its stead."""
    if isinstance(argument, Job) and argument.plan.placement.wish == "required":
        placement = replace(argument.plan.placement, wish="auto")
        return replace(argument, plan=replace(argument.plan, placement=placement))
    return argument


def status_of_owner() -> GpuStatus:
    """Return what GPU this process has; asked of the one that is to own it."""
    return gpu_status()
