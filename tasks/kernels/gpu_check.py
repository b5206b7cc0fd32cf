"""How far a GPU's partition agrees with the CPU's: modularity, adjusted Rand index, number of clusters.

They are other implementations: labels differ even where both are good. Of seeds of igraph alone the
index is 0.5 to 0.75 on atlases; what should be small is the gap in modularity.
"""

from __future__ import annotations

from dataclasses import dataclass

from cellstrata.tasks.kernels.engines import STAND_IN, PartitionSpec, load_engine
from cellstrata.tasks.kernels.graph import Graph
from cellstrata.tasks.kernels.partition import Partition, partition
from cellstrata.tasks.kernels.rand_index import adjusted_rand_index

_DIGITS = 12  # of the key, which is hexadecimal


def in_sample(key: str, share: float) -> bool:
    """Tell whether a key is in the sample of so large a share, 0 to 1: the same on every host."""
    return int(key[:_DIGITS], 16) < share * float(16**_DIGITS)


@dataclass(frozen=True, kw_only=True)
class GpuCheck:
    """What the CPU found of the same graph with the same parameters.

    `engine` is the CPU's, with its version. `modularity_gap` is how much more modularity the CPU found, at the
    resolution that was used; negative where the GPU found more. `ari` is the adjusted Rand index of the two.
    """

    engine: str
    modularity_gap: float
    ari: float
    n_clusters_gpu: int
    n_clusters_cpu: int


def check_on_cpu(graph: Graph, spec: PartitionSpec, gpu: Partition) -> GpuCheck:
    """Compute a GPU's partition on the CPU too, with the same parameters, and compare."""
    cpu = partition(graph, spec, load_engine(STAND_IN))
    return GpuCheck(
        engine=cpu.engine_version,
        modularity_gap=round(cpu.quality - gpu.quality, 6),
        ari=round(adjusted_rand_index(gpu.labels, cpu.labels), 4),
        n_clusters_gpu=len(gpu.sizes),
        n_clusters_cpu=len(cpu.sizes),
    )
