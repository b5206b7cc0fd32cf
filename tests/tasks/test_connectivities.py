from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tasks.connectivities import connectivities
from tasks.knn import METRICS, Metric, Neighbors, nearest_neighbors
from tests.tasks.small import blobs, pbmc


def data(name: str) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    if name == "pbmc68k_reduced":
        return np.asarray(pbmc().obsm["X_pca"], np.float32)
    if name == "clustered":
        return blobs([120, 60, 20], d=10)[0]
    cells = rng.normal(size=(250, 10)).astype(np.float32)
    if name == "duplicates":
        cells[20:60] = cells[3]  # more than k equal cells: all distances 0
        cells[100:105] = cells[90]
        cells[200:] = np.round(cells[200:])
    return cells


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["random", "clustered", "duplicates", "pbmc68k_reduced"])
def test_equal_to_umap_learn(name: str, metric: Metric) -> None:
    umap_ = pytest.importorskip("umap.umap_")
    cells = data(name)
    for k in (2, 3, 15, 40):
        found = nearest_neighbors(cells, k, metric)
        ours: Any = connectivities(found).to_csr()
        theirs, _, _ = umap_.fuzzy_simplicial_set(
            cells, k, np.random.RandomState(0), metric,
            knn_indices=found.indices.astype(np.int64), knn_dists=found.distances,
        )  # fmt: skip
        theirs = theirs.tocsr()
        theirs.sort_indices()
        assert np.abs((ours - theirs).toarray()).max() <= 1e-5
        np.testing.assert_array_equal(ours.indptr, theirs.indptr)
        np.testing.assert_array_equal(ours.indices, theirs.indices)


def test_is_a_graph() -> None:
    graph = connectivities(nearest_neighbors(data("duplicates"), 15))
    assert (graph.edges[:, 0] < graph.edges[:, 1]).all()
    assert (np.diff(graph.edges[:, 0].astype(np.int64) * graph.n_vertices + graph.edges[:, 1]) > 0).all()
    assert graph.weights.min() > 0
    assert graph.weights.max() <= 1
    assert (graph.edges.dtype, graph.weights.dtype) == (np.int32, np.float32)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny(n: int) -> None:
    cells = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
    found = nearest_neighbors(cells, 15) if n else Neighbors(np.empty((0, 0), np.int32), cells, "")
    graph = connectivities(found)
    assert graph.n_vertices == n
    assert len(graph.edges) == (n == 2)
