"""Where work runs: one pure function chooses CPU or GPU for a number of cells, and says why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.engines import STAND_IN, Engine, EngineUnavailable, load_engine
from cellstrata.tasks.kernels.gpu import NOT_LOOKED, GpuStatus, gpu_status

Wish = Literal["cpu", "auto", "required"]
GPU_ENGINE = "rapids"


class GpuUnavailable(EngineUnavailable):
    """A GPU is required, and there is none; the message says why."""


@dataclass(frozen=True)
class Choice:
    """The engine that is to run, and why."""

    engine: str
    reason: str

    @property
    def on_gpu(self) -> bool:
        """Tell whether it runs on a GPU."""
        return self.engine == GPU_ENGINE


def choose(wish: Wish, n_obs: int, n_cell_cpu: int, status: GpuStatus, engine: str | None = None) -> Choice:
    """Choose the engine for so many cells. `engine` is what the user asked for by name, None for nothing.

    A CPU engine that is asked for turns `auto` and `required` into CPU, since its parameters are its own.

    Raises
    ------
    GpuUnavailable
        If a GPU is required and there is none.
    """
    named = engine if engine != GPU_ENGINE else None
    if wish == "cpu":
        gated = f"{STAND_IN} instead of {GPU_ENGINE}: use_gpu is false"
        return Choice(named or STAND_IN, "asked for" if named else gated if engine else "the default")
    if wish == "required" and not status.available:
        raise GpuUnavailable(f"use_gpu: required, but there is no GPU: {status.reason}; set use_gpu: true or false")
    if named:
        return Choice(named, "asked for")
    if not status.available:
        return Choice(STAND_IN, f"no device: {status.reason}")
    if n_obs < n_cell_cpu:
        return Choice(STAND_IN, f"{n_obs} cells < n_cell_cpu {n_cell_cpu}")
    return Choice(GPU_ENGINE, f"{n_obs} cells >= n_cell_cpu {n_cell_cpu}, on {status.device}")


@dataclass(frozen=True)
class Placement:
    """What decides where the work of a dataset runs. It travels with the work, so that every process
    chooses as the one that planned it, whatever devices it sees itself.

    `gpu_check` is the share of the GPU's splits, 0 to 1, that is also computed on the CPU.
    """

    wish: Wish
    n_cell_cpu: int
    max_cluster_factor: int
    gpu_check: float
    status: GpuStatus = NOT_LOOKED
    engine: str | None = None

    def choose(self, n_obs: int) -> Choice:
        """Choose for a number of cells."""
        return choose(self.wish, n_obs, self.n_cell_cpu, self.status, self.engine)

    def engine_for(self, n_obs: int) -> Engine:
        """Return the engine of so many cells; that of a GPU can be asked for its version anywhere."""
        choice = self.choose(n_obs)
        if not choice.on_gpu:
            return load_engine(choice.engine)
        with IMPORTING:
            from cellstrata.tasks.kernels.engine_rapids import RapidsEngine

        return RapidsEngine(self.status)

    def knn_method(self, n_obs: int) -> str | None:
        """Return by what a GPU finds the neighbours of so many cells, None where the CPU does."""
        return (self.status.knn or None) if self.choose(n_obs).on_gpu else None

    def umap_method(self, n_obs: int) -> str | None:
        """Return by what a GPU draws a UMAP of so many cells, None where the CPU does."""
        return (self.status.umap or None) if self.choose(n_obs).on_gpu else None


def placement_of(
    settings: ClusteringConfig, use_gpu: bool | Literal["required"], status: GpuStatus | None = None
) -> Placement:
    """Return where a dataset's work runs. `use_gpu` is what both gates allow; `status` is of the process
    that will own the GPU, by default of this one.

    Raises
    ------
    EngineUnavailable
        If a GPU is required and there is none, or the engine that is asked for is not installed.
    """
    wish: Wish = "cpu" if not use_gpu else "required" if use_gpu == "required" else "auto"
    seen = NOT_LOOKED if wish == "cpu" else status or gpu_status()
    placement = Placement(
        wish, settings.n_cell_cpu, settings.max_cluster_factor, settings.gpu_check, seen, settings.engine
    )
    if not (choice := placement.choose(settings.n_cell_cpu)).on_gpu:
        load_engine(choice.engine)
    return placement
