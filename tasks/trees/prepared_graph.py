"""The last graph of this process, for the next partition of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cellstrata.tasks.kernels.engines import Engine
from cellstrata.tasks.kernels.graph import Graph


@dataclass
class HeldGraph:
    """A graph, how it was found, and the engine's form of it, made when first asked for."""

    graph: Graph
    method: str
    engine: Engine
    resolutions: tuple[float, ...]
    form: object = None


class PreparedGraph:
    """The last graph of this process of which there are several partitions, for the next of them.

    Level 1 has one for each resolution, and an ensemble one for each run.

    It belongs to the process, and not to a run: a worker serves one run, and two runs that share a graph in one
    process share it rightly, since its name is its key in the cache. It lasts until another graph is asked for,
    a split of another graph begins, or one runs out of memory.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], HeldGraph] = {}
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Forget it, and free what it holds of a device."""
        with self._lock:
            self._held.clear()

    def get(self, name: tuple[str, str], make: Callable[[], HeldGraph]) -> tuple[HeldGraph, Callable[[], Any]]:
        """Return the graph of a name, made if it is another, and what returns the engine's form of it."""
        with self._lock:  # resolutions that start together wait for one graph
            if name not in self._held:
                made = make()
                self._held.clear()
                self._held[name] = made
            held = self._held[name]
        return held, lambda: self._form(held)

    def _form(self, held: HeldGraph) -> Any:
        with self._lock:
            if held.form is None:
                held.form = held.engine.prepare(held.graph, held.resolutions)
            return held.form


prepared_graph = PreparedGraph()
