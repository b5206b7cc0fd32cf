"""Which engines a test runs with: every CPU's, the GPU's on stand-ins, and the GPU's on a real device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cellstrata.tasks.kernels.engines import ENGINES, Engine, load_engine
from cellstrata.tasks.kernels.gpu import gpu_status
from tests.tasks.gpu_stand_in import StandIn

CPU = tuple(name for name in ENGINES if name != "rapids")
STAND_INS = {
    "stand-in pylibcugraph": ("cupy", "pylibcugraph"),
    "stand-in rapids-singlecell": ("cupy", "pylibcugraph", "rapids_singlecell", "cuvs", "cuml"),
}
GPU_ALGORITHMS = ("leiden", "louvain")


def cases(*names: str) -> list[Any]:
    """Return each engine with each of its algorithms; the real GPU's are marked."""
    found = [pytest.param(name, each) for name in names if name in CPU for each in load_engine(name).algorithms]
    found += [pytest.param(name, each) for name in names if name in STAND_INS for each in GPU_ALGORITHMS]
    return found + [pytest.param("gpu", each, marks=pytest.mark.gpu) for each in GPU_ALGORITHMS if "gpu" in names]


ALL = cases(*CPU, *STAND_INS, "gpu")
every_engine = pytest.mark.parametrize(("engine", "algorithm"), ALL)


def engine_of(name: str) -> Engine:
    """Return the engine of a case."""
    return load_engine(name if name in CPU else "rapids")


@pytest.fixture(autouse=True)
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn | None]:
    """The stand-in of the case's engine, where it has one."""
    callspec = getattr(request.node, "callspec", None)
    name = callspec.params.get("engine") if callspec else None
    if name not in STAND_INS:
        yield None
        return
    made = StandIn()
    made.install(monkeypatch, *STAND_INS[name])
    yield made
    monkeypatch.undo()
    gpu_status.cache_clear()
