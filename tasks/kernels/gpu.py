"""What GPU a process has: looked up once, without any command of the driver, and never guessed."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from cellstrata.tasks.imports.turns import IMPORTING

OLDEST = (26, 8)  # cuGraph: older ones have unrepeatable Leiden, gaps in labels, noise in Louvain
_NO_MEMORY = re.compile(r"out.of.memory|bad_alloc|memoryallocation|alloc_error", re.IGNORECASE)


@dataclass(frozen=True)
class GpuStatus:
    """What there is. `reason` says why there is no device, empty where there is one.

    `backend` is the package that partitions and `version` names it and what it stands on, as keys and
    provenance have them; `knn` and `umap` name what finds neighbours and draws UMAPs, empty where nothing
    does. `free_memory` is in bytes, of the first device, when it was looked up.
    """

    reason: str
    device: str = ""
    devices: int = 0
    free_memory: int = 0
    backend: str = ""
    version: str = ""
    knn: str = ""
    umap: str = ""

    @property
    def available(self) -> bool:
        """Tell whether a device can be used."""
        return not self.reason


NOT_LOOKED = GpuStatus("not looked for")
_withheld: list[str] = []


@contextlib.contextmanager
def withheld(reason: str) -> Iterator[None]:
    """Have this process use no GPU while the block lasts, for this reason."""
    _withheld.append(reason)
    gpu_status.cache_clear()
    try:
        yield
    finally:
        _withheld.pop()
        gpu_status.cache_clear()


@cache
def gpu_status() -> GpuStatus:
    """Say what GPU this process can use; the first call imports cupy and, where it is there, RAPIDS."""
    if _withheld:
        return GpuStatus(_withheld[-1])
    try:
        cupy = _imported("cupy")
        devices = int(cupy.cuda.runtime.getDeviceCount())
        if not devices:
            return GpuStatus("no CUDA device is visible")
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
        free = int(cupy.cuda.runtime.memGetInfo()[0])
        backend, stands_on = _backend()
    except _Absent as error:
        return GpuStatus(str(error))
    except Exception as error:  # a driver that is missing, too old, or broken
        return GpuStatus(f"CUDA cannot be used: {first_line(error)}")
    beside = ", ".join([*stands_on, f"cupy {cupy.__version__}", "float64"])
    return GpuStatus(
        reason="",
        device=name.decode() if isinstance(name, bytes) else str(name),
        devices=devices,
        free_memory=free,
        backend=backend.__name__.replace("_", "-"),
        version=f"{backend.__name__.replace('_', '-')} {backend.__version__}, {beside}",
        knn=_named("cuvs.neighbors.brute_force", "cuvs", "brute-force"),
        umap=_named("cuml", "cuml", "umap") if backend.__name__ == "rapids_singlecell" else "",
    )


_turn = threading.Lock()


@contextlib.contextmanager
def device_turn() -> Iterator[None]:
    """Wait until no other thread or process of this user, on this machine, computes on the same device.

    cuGraph's calls hold the GIL and fill the device: beside one another they gain nothing, and what runs
    out of memory there would be the CPU's to repeat, with other labels than on a quiet day.
    """
    device = re.sub(r"\W+", "-", os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
    path = os.path.join(tempfile.gettempdir(), f"cellstrata-gpu-{os.getuid()}-{device}.lock")
    with _turn, open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the host, has no memory left."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def free_memory() -> None:
    """Give back to the device what cupy keeps for the next array."""
    with contextlib.suppress(Exception), IMPORTING:
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()


def first_line(error: BaseException) -> str:
    """Return what kind an error is and the first line of what it says."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


class _Absent(Exception):
    """A package is not there, or too old."""


def _imported(name: str) -> Any:
    try:
        with IMPORTING:
            return importlib.import_module(name)
    except ImportError as error:
        here = error.name is None or error.name.split(".")[0] == name.split(".")[0]
        what = (
            "is not installed" if here and isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
        )
        raise _Absent(f"{name.split('.')[0]} {what}") from error


def _backend() -> tuple[Any, list[str]]:
    """Return the package that partitions: rapids-singlecell if it is there, else pylibcugraph alone."""
    try:
        library = _imported("pylibcugraph")
    except _Absent as error:
        raise _Absent(f"{error} (nor rapids-singlecell, which brings it)") from error
    found = tuple(int(part) for part in re.findall(r"\d+", library.__version__)[:2])
    if found < OLDEST:
        raise _Absent(f"pylibcugraph {library.__version__} is too old: {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    try:
        return _imported("rapids_singlecell"), [f"pylibcugraph {library.__version__}"]
    except _Absent:
        return library, []


def _named(module: str, package: str, what: str) -> str:
    try:
        _imported(module)
        return f"{package}-{_imported(package).__version__}-{what}"
    except Exception:  # its own libraries may fail to load in their own ways
        return ""
