"""The engines that partition a graph: a protocol, a registry, and one function that chooses.

An engine is one entry in `ENGINES`; its packages are imported when it is used, not before.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy.typing as npt

from tasks.graph import Graph

Algorithm = Literal["leiden", "louvain"]


class EngineUnavailable(RuntimeError):
    """The engine that was asked for cannot run here; the message says why."""


@dataclass(frozen=True)
class PartitionSpec:
    """What is asked of an engine. `n_iterations` is Leiden's, -1 until stable; Louvain has none."""

    algorithm: Algorithm
    resolution: float
    n_iterations: int = 2
    seed: int = 0
    use_weights: bool = True


class Engine(Protocol):
    """An engine: `prepare` builds its own graph once, `partition` may be called on it many times."""

    name: str
    algorithms: tuple[Algorithm, ...]
    packages: tuple[str, ...]  # those whose version can change a label

    def prepare(self, graph: Graph) -> Any:
        """Return the engine's own form of the graph."""

    def partition(self, prepared: Any, spec: PartitionSpec) -> npt.NDArray[Any]:
        """Return a cluster number for each vertex, (n,) integers in any numbering."""


ENGINES: dict[str, str] = {
    "igraph": "tasks.engine_igraph:IGraphEngine",
    "leidenalg": "tasks.engine_leidenalg:LeidenalgEngine",
}


def load_engine(name: str) -> Engine:
    """Return an engine by name.

    Raises
    ------
    EngineUnavailable
        If there is none of this name, or its package is not installed.
    """
    if name not in ENGINES:
        raise EngineUnavailable(f"there is no engine {name!r}; known: {', '.join(ENGINES)}")
    module, attribute = ENGINES[name].split(":")
    try:
        engine: Engine = getattr(importlib.import_module(module), attribute)()
    except ImportError as error:
        raise EngineUnavailable(f"engine {name!r} needs {error.name}, which is not installed") from error
    return engine


def engine_version(engine: Engine) -> str:
    """Return the versions of the packages that decide this engine's labels, `igraph 1.0.0`."""
    return ", ".join(f"{package} {_version(package)}" for package in engine.packages)


@cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)  # 2 ms each time


@dataclass(frozen=True)
class Choice:
    """The engine that will run, and why."""

    engine: str
    reason: str


def choose(engine: str | None, use_gpu: bool | Literal["required"]) -> Choice:
    """Choose the engine: the one asked for, else igraph; the reason is recorded with the result.

    Raises
    ------
    EngineUnavailable
        If a GPU is required: this version has no GPU engine.
    """
    if use_gpu == "required":
        raise EngineUnavailable("use_gpu: required, but this version has no GPU engine; set use_gpu: true or false")
    if engine is not None:
        return Choice(engine, "asked for")
    if use_gpu:
        return Choice("igraph", "the default on the CPU; use_gpu is set, but this version has no GPU engine")
    return Choice("igraph", "the default")
