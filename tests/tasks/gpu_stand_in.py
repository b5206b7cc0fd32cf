"""Stand-ins for the packages of a GPU: the real names and signatures, backed by igraph and faiss.

They prove that the adapters call rightly, and nothing about what a GPU computes: cuGraph is another
implementation, with faults of its own. Arrays of `cupy` are opaque here, so an array of the host where
one of the device is needed, or the reverse, is an error. Signatures were copied from cuGraph 26.10,
rapids-singlecell 0.18.1 and cuVS 26.10.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.gpu import gpu_status
from cellstrata.tasks.kernels.graph import Graph, from_adjacency

PACKAGES = ("cupy", "pylibcugraph", "rapids_singlecell", "cuvs", "cuvs.neighbors", "cuvs.neighbors.brute_force", "cuml")
CUGRAPH, RSC, CUVS, CUPY = "26.10.0", "0.18.1", "26.10.0", "14.1.1"
FREE = 80 * 2**30


class DeviceArray:
    """An array that only `cupy.asnumpy` can look into."""

    def __init__(self, host: Any) -> None:
        self._host = np.array(host)
        self.dtype, self.shape = self._host.dtype, self._host.shape

    def __len__(self) -> int:
        return len(self._host)


class StandIn:
    """The modules, and what was called with what: `calls` holds names and arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.uploads = 0

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of each call of a function."""
        return [arguments for called, arguments in self.calls if called == name]

    def install(self, monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
        """Put these packages, and no other of a GPU, where imports find them."""
        import anndata  # noqa: F401  # it asks for cupy when it is imported, and must not meet this one

        made = {"cupy": self.cupy(), "pylibcugraph": self.pylibcugraph(), "rapids_singlecell": self.rapids()}
        made |= self.cuvs() | {"cuml": _module("cuml", __version__="26.10.0")}
        for name in PACKAGES:
            there = name.split(".")[0] in packages
            monkeypatch.setitem(sys.modules, name, made[name] if there else None)
        gpu_status.cache_clear()

    def cupy(self) -> ModuleType:
        """Return `cupy`: one device, opaque arrays."""

        def asarray(a: Any, dtype: Any = None) -> DeviceArray:
            self.uploads += not isinstance(a, DeviceArray)
            return a if isinstance(a, DeviceArray) else DeviceArray(np.asarray(a, dtype))

        def asnumpy(a: Any) -> Any:
            assert isinstance(a, DeviceArray), "not on the device"
            return a._host.copy()

        runtime = SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: {"name": b"Stand-in"},
            memGetInfo=lambda: (FREE, FREE),
        )
        return _module(
            "cupy",
            __version__=CUPY,
            asarray=asarray,
            asnumpy=asnumpy,
            ones=lambda shape, dtype=float: DeviceArray(np.ones(shape, dtype)),
            cuda=SimpleNamespace(runtime=runtime),
            get_default_memory_pool=lambda: SimpleNamespace(free_all_blocks=lambda: None),
        )

    def pylibcugraph(self) -> ModuleType:
        """Return `pylibcugraph`: graphs from CSR, Leiden and Louvain."""

        class ResourceHandle:
            def __init__(self, handle: int = 0) -> None:
                pass

        class GraphProperties:
            def __init__(self, is_symmetric: bool = False, is_multigraph: bool = False) -> None:
                self.is_symmetric, self.is_multigraph = is_symmetric, is_multigraph

        class SGGraph:
            def __init__(
                self,
                resource_handle: Any,
                graph_properties: Any,
                src_or_offset_array: Any,
                dst_or_index_array: Any,
                weight_array: Any = None,
                store_transposed: bool = False,
                renumber: bool = False,
                do_expensive_check: bool = False,
                edge_id_array: Any = None,
                edge_type_array: Any = None,
                input_array_format: str = "COO",
            ) -> None:
                assert isinstance(resource_handle, ResourceHandle)
                assert isinstance(graph_properties, GraphProperties)
                assert graph_properties.is_symmetric
                assert input_array_format == "CSR"  # as lists of edges they would lose isolated vertices
                arrays = [dst_or_index_array, src_or_offset_array, weight_array]
                assert all(isinstance(each, DeviceArray) for each in arrays), "not on the device"
                assert dst_or_index_array.dtype == src_or_offset_array.dtype
                assert dst_or_index_array.dtype in (np.int32, np.int64)
                if weight_array.dtype not in (np.float32, np.float64):
                    raise TypeError(f"weights of type {weight_array.dtype}")
                indices, offsets, weights = (each._host for each in arrays)
                n = len(offsets) - 1
                self.dtype = weight_array.dtype
                self.matrix = sp.csr_matrix((weights, indices, offsets), shape=(n, n))
                assert not store_transposed
                assert not renumber
                assert abs(self.matrix - self.matrix.T).nnz == 0, "not symmetric"

        def result(graph: SGGraph, spec: PartitionSpec) -> tuple[DeviceArray, DeviceArray, float]:
            labels = _on_the_cpu(graph.matrix, spec)
            vertices = np.random.default_rng(1).permutation(len(labels)).astype(np.int32)  # in any order
            names = np.random.default_rng(2).permutation(labels.max() + 1).astype(np.int32)  # not by size
            return DeviceArray(vertices), DeviceArray(names[labels][vertices]), 0.5

        def leiden(
            resource_handle: Any,
            random_state: Any,
            graph: Any,
            max_level: int,
            resolution: float,
            theta: float,
            do_expensive_check: bool,
        ) -> Any:
            self.calls.append(("leiden", {**locals(), "dtype": graph.dtype}))
            assert isinstance(resource_handle, ResourceHandle)
            return result(graph, PartitionSpec("leiden", resolution, n_iterations=4, seed=random_state))

        def louvain(
            resource_handle: Any,
            graph: Any,
            max_level: int,
            threshold: float,
            resolution: float,
            do_expensive_check: bool,
        ) -> Any:
            self.calls.append(("louvain", {**locals(), "dtype": graph.dtype}))
            assert isinstance(resource_handle, ResourceHandle)
            assert threshold < 1e-3
            return result(graph, PartitionSpec("louvain", resolution))

        return _module(
            "pylibcugraph",
            __version__=CUGRAPH,
            ResourceHandle=ResourceHandle,
            GraphProperties=GraphProperties,
            SGGraph=SGGraph,
            leiden=leiden,
            louvain=louvain,
        )

    def rapids(self) -> ModuleType:
        """Return `rapids_singlecell`: `tl.leiden`, `tl.louvain` and `tl.umap`."""

        def cluster(adata: Any, adjacency: Any, resolution: Any, key: str, dtype: Any, spec: Any) -> None:
            if dtype not in ("float32", "float64", np.float32, np.float64):
                raise ValueError("dtype must be one of ['float32', 'float64']")
            listed = not isinstance(resolution, (float, int))
            for each in resolution if listed else [resolution]:
                labels = _on_the_cpu(adjacency, spec(each))
                names = np.random.default_rng(2).permutation(labels.max() + 1)
                column = f"{key}_{each}" if listed and len(resolution) > 1 else key
                adata.obs[column] = pd_categorical(names[labels].astype("U"))

        def leiden(
            adata: Any,
            resolution: Any = 1.0,
            *,
            random_state: int = 0,
            theta: float = 1.0,
            restrict_to: Any = None,
            key_added: str = "leiden",
            adjacency: Any = None,
            n_iterations: int = 100,
            use_weights: bool = True,
            neighbors_key: Any = None,
            obsp: Any = None,
            dtype: Any = np.float32,
            use_dask: bool = False,
            copy: bool = False,
        ) -> None:
            self.calls.append(("leiden", dict(locals())))
            graph = _weighted(adjacency, use_weights)
            cluster(
                adata,
                graph,
                resolution,
                key_added,
                dtype,
                lambda r: PartitionSpec("leiden", float(r), n_iterations=4, seed=random_state),
            )

        def louvain(
            adata: Any,
            resolution: Any = 1.0,
            *,
            restrict_to: Any = None,
            key_added: str = "louvain",
            adjacency: Any = None,
            n_iterations: int = 100,
            threshold: float = 1e-7,
            use_weights: bool = True,
            neighbors_key: Any = None,
            obsp: Any = None,
            dtype: Any = np.float32,
            use_dask: bool = False,
            copy: bool = False,
        ) -> None:
            self.calls.append(("louvain", dict(locals())))
            graph = _weighted(adjacency, use_weights)
            cluster(adata, graph, resolution, key_added, dtype, lambda r: PartitionSpec("louvain", float(r)))

        def umap(
            adata: Any,
            *,
            min_dist: float = 0.5,
            spread: float = 1.0,
            n_components: int = 2,
            maxiter: int | None = None,
            alpha: float = 1.0,
            negative_sample_rate: int = 5,
            init_pos: str = "auto",
            random_state: int = 0,
            a: float | None = None,
            b: float | None = None,
            key_added: str | None = None,
            neighbors_key: str | None = None,
            copy: bool = False,
        ) -> None:
            self.calls.append(("umap", dict(locals())))
            assert init_pos in ("auto", "spectral", "random")
            params = adata.uns["neighbors"]["params"]
            assert adata.obsp[adata.uns["neighbors"]["connectivities_key"]].shape == (adata.n_obs, adata.n_obs)
            adata.obsm["X_umap"] = adata.obsm[params["use_rep"]][:, :2].astype(np.float32)

        tl = SimpleNamespace(leiden=leiden, louvain=louvain, umap=umap)
        return _module("rapids_singlecell", __version__=RSC, tl=tl)

    def cuvs(self) -> dict[str, ModuleType]:
        """Return `cuvs.neighbors.brute_force` and what holds it."""

        def build(dataset: Any, metric: str = "sqeuclidean", metric_arg: float = 2.0, resources: Any = None) -> Any:
            assert isinstance(dataset, DeviceArray), "not on the device"
            assert dataset.dtype == np.float32
            self.calls.append(("build", {"metric": metric}))
            return dataset._host

        def search(
            index: Any,
            queries: Any,
            k: int,
            neighbors: Any = None,
            distances: Any = None,
            resources: Any = None,
            prefilter: Any = None,
        ) -> Any:
            from cellstrata.tasks.kernels.faiss_search import faiss

            assert isinstance(queries, DeviceArray), "not on the device"
            found, indices = faiss().knn(queries._host, index, k)
            return DeviceArray(found), DeviceArray(indices)

        force = _module("cuvs.neighbors.brute_force", build=build, search=search)
        neighbors = _module("cuvs.neighbors", brute_force=force)
        whole = _module("cuvs", __version__=CUVS, neighbors=neighbors)
        return {"cuvs": whole, "cuvs.neighbors": neighbors, "cuvs.neighbors.brute_force": force}


def pd_categorical(values: Any) -> Any:
    """Return a categorical, as rapids-singlecell leaves one in obs."""
    import pandas as pd

    return pd.Categorical(values)


def _module(name: str, **attributes: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(attributes)
    return module


def _weighted(adjacency: Any, use_weights: bool) -> Any:
    return adjacency if use_weights else (adjacency != 0).astype(np.float64)


def _on_the_cpu(matrix: Any, spec: PartitionSpec) -> Any:
    engine = load_engine("cellstrata")
    graph: Graph = from_adjacency(matrix)[0]
    return engine.partition(engine.prepare(graph), spec)
