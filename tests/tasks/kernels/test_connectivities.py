from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.kernels.connectivities import _bandwidths, connectivities
from cellstrata.tasks.kernels.knn import METRICS, Neighbors, nearest_neighbors
from tests.tasks.small import blobs, pbmc

NAMES = ("random", "clustered", "duplicates", "pbmc68k_reduced")
CASES = [(name, metric, k) for name in NAMES for metric in METRICS for k in (2, 3, 15, 40)]


def data(name: str) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(0)
    if name == "pbmc68k_reduced":
        return np.asarray(pbmc().obsm["X_pca"], np.float32)
    if name == "clustered":
        return blobs([90, 40, 20], d=10)[0]
    cells = rng.normal(size=(150, 10)).astype(np.float32)
    if name == "duplicates":
        cells[20:65] = cells[3]  # more than k equal cells: all distances 0
        cells[100:105] = cells[90]
        cells[120:] = np.round(cells[120:])
    return cells


def neighbors_of(name: str, metric: str, k: int) -> Neighbors:
    return nearest_neighbors(data(name), k, metric)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, sp.csr_matrix]:
    """The graphs that umap-learn makes of the same neighbours."""
    folder = tmp_path_factory.mktemp("umap")
    given = {}
    for name, metric, k in CASES:
        found = neighbors_of(name, metric, k)
        given[f"{name}|{metric}|{k}|indices"] = found.indices
        given[f"{name}|{metric}|{k}|distances"] = found.distances
    np.savez(folder / "in.npz", **given)  # type: ignore[arg-type]
    script = Path(__file__).with_name("umap_reference.py")
    subprocess.run(
        [sys.executable, str(script), str(folder / "in.npz"), str(folder / "out.npz")],
        check=True, timeout=120, env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    out = np.load(folder / "out.npz")
    return {
        name: sp.csr_matrix(tuple(out[f"{name}|{part}"] for part in ("data", "indices", "indptr")))
        for name in {key.rsplit("|", 1)[0] for key in out}
    }


@pytest.mark.parametrize(("name", "metric", "k"), CASES)
def test_equal_to_umap_learn(name: str, metric: str, k: int, theirs: dict[str, sp.csr_matrix]) -> None:
    ours, reference = connectivities(neighbors_of(name, metric, k)).to_csr(), theirs[f"{name}|{metric}|{k}"]
    np.testing.assert_array_equal(ours.indptr, reference.indptr)
    np.testing.assert_array_equal(ours.indices, reference.indices)
    np.testing.assert_allclose(ours.data, reference.data, atol=1e-5, rtol=0)


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


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 30), st.integers(0, 10**6), st.floats(-8, 8), st.sampled_from([0.0, 1.0, 30.0]),
    st.floats(0, 1),
)  # fmt: skip
def test_bandwidths_are_those_of_plain_bisection(
    m: int, k: int, seed: int, size: float, tail: float, zeros: float
) -> None:
    """To the last bit, for distances of any size, with far neighbours, and with many that are equally near."""
    rng = np.random.default_rng(seed)
    beyond = np.sort(rng.gamma(2, size=(m, k)) * np.exp(rng.normal(size=(m, k)) * tail) * 10.0**size, axis=1)
    beyond[rng.random((m, k)) < zeros] = 0
    beyond[:, 0] = 0
    target = np.log2(k + 1)
    middle = np.ones(m)
    for row in range(m):
        low, high = 0.0, np.inf
        for _ in range(64):
            total = np.exp(-beyond[row : row + 1] / middle[row]).sum(1)[0]
            if abs(total - target) < 1e-5:
                break
            if total > target:
                high, middle[row] = middle[row], (low + middle[row]) / 2
            else:
                low = middle[row]
                middle[row] = middle[row] * 2 if np.isinf(high) else (low + high) / 2
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(_bandwidths(beyond, target), middle)
