"""Leiden and Louvain on a GPU: through rapids-singlecell where it is installed, else by pylibcugraph itself.

Both are cuGraph's, another implementation than igraph's, not a faster way to the same labels. What a
user says of iterations is not passed on: cuGraph's argument of that name bounds the levels of the
hierarchy instead, and its theta does nothing. Calls take turns on a device. Not yet run on a GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.engines import Algorithm, EngineUnavailable, PartitionSpec
from cellstrata.tasks.kernels.gpu import GpuStatus, device_turn, gpu_status
from cellstrata.tasks.kernels.graph import Graph

MOST_LEVELS = 100  # of cuGraph's hierarchy; it stops by itself long before
THRESHOLD = 1e-7  # of Louvain: the gain of a level below which it stops, cuGraph's default
LARGEST_INT32 = 2**31 - 1


@dataclass
class OnDevice:
    """A graph in the memory of the device, uploaded once: with its weights, and without at first need."""

    n_vertices: int
    handle: Any
    weighted: Any
    unweighted: Any
    arrays: tuple[Any, Any]


@dataclass
class OnHost:
    """An adjacency for rapids-singlecell, which uploads it in each call: all resolutions go in one.

    `found` holds the labels of resolutions that were done in another's call.
    """

    adjacency: object
    resolutions: tuple[float, ...]
    found: dict[tuple[str, int, bool, float], npt.NDArray[np.int32]] = field(default_factory=dict)


class RapidsEngine:
    """cuGraph's Leiden and Louvain, weights in float64.

    `status` is of the process that owns the GPU. What is asked of `prepare` and `partition` has to run
    there, the version can be asked for anywhere.

    Raises
    ------
    EngineUnavailable
        If there is no device.
    """

    name = "rapids"
    device: Literal["cpu", "gpu"] = "gpu"
    algorithms: tuple[Algorithm, ...] = ("leiden", "louvain")
    packages: tuple[str, ...] = ()

    def __init__(self, status: GpuStatus | None = None) -> None:
        self.status = status or gpu_status()
        if not self.status.available:
            raise EngineUnavailable(f"engine 'rapids' needs a GPU: {self.status.reason}")
        self.version = self.status.version

    def prepare(self, graph: Graph, resolutions: Sequence[float] = ()) -> OnDevice | OnHost:
        """Upload the symmetric adjacency, or lay it ready for rapids-singlecell.

        Raises
        ------
        EngineUnavailable
            If this process has no device, or other versions than those of the keys.
        """
        here = gpu_status()
        if not here.available:
            raise EngineUnavailable(f"this process has no device: {here.reason}")
        if here.version != self.version:
            raise EngineUnavailable(f"this process has {here.version}, and the run is planned for {self.version}")
        adjacency = graph.to_csr().astype(np.float64)
        if here.backend == "rapids-singlecell":
            return OnHost(adjacency, tuple(dict.fromkeys(float(each) for each in resolutions)))
        with device_turn():
            return _upload(adjacency)

    def partition(self, prepared: OnDevice | OnHost, spec: PartitionSpec) -> npt.NDArray[np.integer]:
        """Return cuGraph's labels, (n,) int32, -1 for a vertex that it has left out."""
        with device_turn():
            return _by_pylibcugraph(prepared, spec) if isinstance(prepared, OnDevice) else _by_rsc(prepared, spec)


def _upload(adjacency: Any) -> OnDevice:
    with IMPORTING:
        cupy, library = importlib.import_module("cupy"), importlib.import_module("pylibcugraph")
    # cuGraph counts edges in the type of its vertices, and wants both arrays in one.
    index = np.int64 if adjacency.nnz > LARGEST_INT32 else np.int32
    offsets = cupy.asarray(adjacency.indptr.astype(index, copy=False))
    indices = cupy.asarray(adjacency.indices.astype(index, copy=False))
    handle = library.ResourceHandle()
    weighted = _graph(library, handle, offsets, indices, cupy.asarray(adjacency.data))
    return OnDevice(adjacency.shape[0], handle, weighted, None, (offsets, indices))


def _graph(library: Any, handle: Any, offsets: Any, indices: Any, weights: Any) -> Any:
    return library.SGGraph(
        resource_handle=handle,
        graph_properties=library.GraphProperties(is_symmetric=True, is_multigraph=False),
        src_or_offset_array=offsets,
        dst_or_index_array=indices,
        weight_array=weights,
        store_transposed=False,
        renumber=False,
        do_expensive_check=False,
        input_array_format="CSR",
    )


def _by_pylibcugraph(on: OnDevice, spec: PartitionSpec) -> npt.NDArray[np.int32]:
    with IMPORTING:
        cupy, library = importlib.import_module("cupy"), importlib.import_module("pylibcugraph")
    graph = on.weighted
    if not spec.use_weights:
        if on.unweighted is None:
            ones = cupy.ones(len(on.arrays[1]), dtype=np.float64)
            on.unweighted = _graph(library, on.handle, *on.arrays, ones)
        graph = on.unweighted
    common = {"resource_handle": on.handle, "graph": graph, "max_level": MOST_LEVELS,
              "resolution": float(spec.resolution), "do_expensive_check": False}  # fmt: skip
    if spec.algorithm == "leiden":
        found = library.leiden(random_state=spec.seed, theta=1.0, **common)
    else:
        found = library.louvain(threshold=THRESHOLD, **common)
    vertices, clusters = (cupy.asnumpy(each) for each in found[:2])
    labels = np.full(on.n_vertices, -1, np.int32)
    labels[vertices] = clusters
    return labels


def _by_rsc(on: OnHost, spec: PartitionSpec) -> npt.NDArray[np.int32]:
    key = (spec.algorithm, spec.seed, spec.use_weights)
    asked = float(spec.resolution)
    if (*key, asked) not in on.found:
        together = on.resolutions if asked in on.resolutions else (asked,)
        for resolution, labels in _in_one_call(on.adjacency, together, spec).items():
            on.found[(*key, resolution)] = labels
    return on.found[(*key, asked)]


def _in_one_call(adjacency: Any, resolutions: tuple[float, ...], spec: PartitionSpec) -> dict[float, Any]:
    with IMPORTING:
        import anndata

        rsc = importlib.import_module("rapids_singlecell")
    adata = anndata.AnnData(shape=(adjacency.shape[0], 0))
    arguments: dict[str, Any] = {
        "resolution": list(resolutions) if len(resolutions) > 1 else resolutions[0],
        "key_added": "found",
        "adjacency": adjacency,
        "use_weights": spec.use_weights,
        "n_iterations": MOST_LEVELS,
        "dtype": "float64",  # float32 otherwise, whatever the adjacency has
    }
    if spec.algorithm == "leiden":
        rsc.tl.leiden(adata, random_state=spec.seed, **arguments)
    else:
        rsc.tl.louvain(adata, **arguments)
    columns = {each: f"found_{each}" if len(resolutions) > 1 else "found" for each in resolutions}
    return {each: adata.obs[name].astype(str).astype(np.int64).to_numpy() for each, name in columns.items()}
