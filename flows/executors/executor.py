"""What an executor is: where a run's functions are computed, and in which ways that may fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, Protocol, TypeVar

from cellstrata.configs.dask import DaskConfig
from cellstrata.configs.model import RunConfig
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.kernels.gpu import GpuStatus
from cellstrata.tasks.stores.store import StorageOptions, Store

T = TypeVar("T")
# Kernels run single-threaded, so that no number of threads changes a bit and nothing is oversubscribed.
WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1") | {
    # glibc gives the memory of large arrays back at once and takes it anew, page by page, for the
    # next split: a quarter of its time where page faults are dear, as on virtual machines.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
}


# The workers of a cluster may differ in their devices, and a split must not depend on which one it meets.
CPUS_ONLY = GpuStatus("the runner `dask` computes on CPUs; GPUs are for `runner: gpu`")


class WorkerDied(RuntimeError):
    """A worker process was killed over some work and again when that ran alone, most often for want of memory."""


class Stopped(RuntimeError):
    """The run is being stopped: nothing more is computed."""


class ClusterLost(RuntimeError):
    """The machines on which a run computes are gone, or are not what they were: it cannot go on."""


class RunnerUnusable(ValueError):
    """The runner that is asked for cannot be used; the message says all that is wrong, a line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True)
class Settings:
    """What an executor is made from. `workers` is how many compute at once, where the user says so,
    `cpus` how many can on this machine; `use_gpu` the strictest wish of all datasets; `engines` what may partition."""

    runner: str = "processes"
    _: KW_ONLY
    workers: int | None = None
    cpus: int = 1
    dask: DaskConfig = field(default_factory=DaskConfig)
    use_gpu: bool | Literal["required"] = False
    cache: str | None = None
    read_cache: str | None = None
    storage_options: StorageOptions = field(default_factory=dict, repr=False)
    engines: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: RunConfig) -> Settings:
        """Take them from a run's configuration."""
        wishes = [config.gpu_for(name) for name in config.selected]
        return cls(
            config.runner,
            workers=config.workers,
            cpus=config.worker_count,
            dask=config.dask,
            use_gpu="required" if "required" in wishes else any(wishes),
            cache=config.cache_url,
            read_cache=config.read_cache,
            storage_options=config.storage_options,
            engines=config.engines,
        )

    def open_cache(self) -> Cache | None:
        """Open the run's cache, None where there is none."""
        if self.cache is None:
            return None
        behind = Store.at(self.read_cache, self.storage_options) if self.read_cache else None
        return Cache(Store.at(self.cache, self.storage_options), behind)


class Executor(Protocol):
    """Runs functions for tasks, blocking the thread that asks."""

    notices: list[str]  # what the user may want to know of it
    status: GpuStatus | None  # what GPU its workers have; None: each process looks for itself

    @property
    def at_once(self) -> int:
        """How many functions are computed at once."""

    @property
    def threads(self) -> int:
        """How many threads a single function may use, where it can use several."""

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a function of plain arguments and return its result."""

    def run_apart(self, function: Callable[..., T], *args: object) -> T:
        """The same in a process of its own on this machine, for what imports scanpy; workers stay light."""

    def stop(self) -> None:
        """End at once: whoever waits gets an error, no process is left."""

    def close(self) -> None:
        """Let the workers end; nobody asks any more."""
