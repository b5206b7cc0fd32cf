"""Leiden by leidenalg, the reference implementation (Traag, Waltman and van Eck 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.engine_igraph import LOCK, Prepared, igraph, to_igraph
from cellstrata.tasks.kernels.engines import Algorithm, PartitionSpec
from cellstrata.tasks.kernels.graph import Graph


@cache
def leidenalg() -> Any:
    """Import leidenalg after igraph, which it would otherwise load with its plotting packages."""
    igraph()
    with IMPORTING:
        import leidenalg as module

    return module


class LeidenalgEngine:
    """leidenalg's `RBConfigurationVertexPartition`: modularity with a resolution."""

    name = "leidenalg"
    device: Literal["cpu", "gpu"] = "cpu"
    algorithms: tuple[Algorithm, ...] = ("leiden",)
    packages = ("leidenalg", "igraph")
    settings = ("refined by all neighbors",)

    def __init__(self) -> None:
        leidenalg()

    def prepare(self, graph: Graph, resolutions: Sequence[float] = ()) -> Prepared:
        """Return igraph's form of the graph."""
        return to_igraph(graph)

    def partition(self, prepared: Prepared, spec: PartitionSpec) -> npt.NDArray[np.integer]:
        """Return leidenalg's membership, (n,) int32."""
        weights, module = prepared.weights_for(spec), leidenalg()
        with LOCK:
            found = module.RBConfigurationVertexPartition(
                prepared.graph,
                weights=None if weights is None else weights.tolist(),
                resolution_parameter=spec.resolution,
            )
            optimiser = module.Optimiser()
            # 0.12.0 refines by one neighbor at random unless told otherwise: faster, of lower modularity.
            optimiser.refine_consider_comms = module.ALL_NEIGH_COMMS
            optimiser.set_rng_seed(spec.seed)
            optimiser.optimise_partition(found, n_iterations=spec.n_iterations)
        return np.asarray(found.membership, dtype=np.int32)
