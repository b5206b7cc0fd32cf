"""The engines that partition a graph: a protocol and a registry.

An engine is one entry in `ENGINES`; its packages are imported when it is used, not before.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.graph import Graph

Algorithm = Literal["leiden", "louvain"]
Runs = int | Literal["auto"]
STAND_IN = "cellstrata"  # the default, and what computes where a GPU cannot


class EngineUnavailable(RuntimeError):
    """The engine that was asked for cannot run here; the message says why."""


@dataclass(frozen=True)
class PartitionSpec:
    """What is asked of a partition. `n_iterations` is Leiden's, -1 until stable; Louvain has none.

    `ensemble` is how many runs are joined into one (`cellstrata.tasks.kernels.ensemble`), `auto` for as many as they
    need to agree. An engine makes one run and does not look at it; Louvain is always one.
    """

    algorithm: Algorithm
    resolution: float
    _: KW_ONLY
    n_iterations: int = 2
    seed: int = 0
    use_weights: bool = True
    ensemble: Runs = 1

    @property
    def joins_runs(self) -> bool:
        """Tell whether it is made of several runs."""
        return self.algorithm == "leiden" and self.ensemble != 1


class Engine(Protocol):
    """An engine: `prepare` builds its own graph once, `partition` may be called on it many times."""

    name: str
    device: Literal["cpu", "gpu"]
    algorithms: tuple[Algorithm, ...]
    packages: tuple[str, ...]  # those whose version can change a label

    def prepare(self, graph: Graph, resolutions: Sequence[float] = ()) -> object:
        """Return the engine's own form of the graph; `resolutions` are those that it will be asked for,
        where they are known, for an engine that does many in one call."""

    def partition(self, prepared: Any, spec: PartitionSpec) -> npt.NDArray[np.integer]:
        """Return a cluster number for each vertex, (n,) integers in any numbering."""


ENGINES: dict[str, str] = {
    "cellstrata": "cellstrata.tasks.kernels.engine_cellstrata:CellstrataEngine",
    "igraph": "cellstrata.tasks.kernels.engine_igraph:IGraphEngine",
    "leidenalg": "cellstrata.tasks.kernels.engine_leidenalg:LeidenalgEngine",
    "libreville": "cellstrata.tasks.kernels.engine_libreville:LibrevilleEngine",
    "rapids": "cellstrata.tasks.kernels.engine_rapids:RapidsEngine",
}
LOCKING = frozenset({"igraph", "leidenalg"})  # hold Python's lock while they compute: threads wait for one another


def load_engine(name: str) -> Engine:
    """Return an engine by name.

    Raises
    ------
    EngineUnavailable
        If there is none of this name, its package is not installed, or it needs a GPU and there is none.
    """
    if name not in ENGINES:
        raise EngineUnavailable(f"there is no engine {name!r}; known: {', '.join(ENGINES)}")
    module, attribute = ENGINES[name].split(":")
    try:
        with IMPORTING:
            loaded = importlib.import_module(module)
        engine: Engine = getattr(loaded, attribute)()
    except ImportError as error:
        raise EngineUnavailable(f"engine {name!r} needs {error.name}, which is not installed{_extra(name)}") from error
    return engine


def _extra(name: str) -> str:
    return "; install cellstrata[fast]" if name == "libreville" else ""


def engine_version(engine: Engine) -> str:
    """Return the versions of what decides this engine's labels, `igraph 1.0.0`.

    A GPU's engine says them itself: they are those of the process that owns the GPU, not of this one. An
    engine's `settings` are ours, where its own would give other labels.
    """
    own: str = getattr(engine, "version", "")
    return own or ", ".join([*map(package_version, engine.packages), *getattr(engine, "settings", ())])


@cache
def package_version(package: str) -> str:
    """Return a package's name and version, `igraph 1.0.0`."""
    return f"{package} {importlib.metadata.version(package)}"  # 2 ms each time
