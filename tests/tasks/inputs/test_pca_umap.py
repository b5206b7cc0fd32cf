"""PCA and UMAP by scanpy, in a process of its own: uncompiled, which is faster for a few cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements.opening import InputError
from cellstrata.tasks.inputs.pca import compute_pca, find_pca
from cellstrata.tasks.kernels.knn import nearest_neighbors
from cellstrata.tasks.trees.root_graph import compute_neighbors
from cellstrata.tasks.trees.umap import find_umap
from tests.tasks.places import opened
from tests.tasks.small import blobs, cache_at

SCRIPT = """
import json, sys
from cellstrata.tasks.cache.cache import ArrayRef
from cellstrata.tasks.inputs.pca import compute_pca
from cellstrata.tasks.trees.umap import compute_umap
from tests.tasks.places import opened
from tests.tasks.small import cache_at
given = json.loads(sys.argv[1])
done = {}
for name, (cache, path, n_pcs) in given["pca"].items():
    done[name] = compute_pca(opened(path), cache_at(cache), n_pcs).to_json()
for name, (cache, graph, ref, seed) in given["umap"].items():
    drawn = compute_umap(cache_at(cache), graph, ArrayRef.from_json(ref), "euclidean", 6, seed)
    assert (drawn.fallback, drawn.seconds >= 0) == (None, True)
    done[name] = drawn.coordinates.to_json()
print("\\n" + json.dumps(done))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run every computation of this module in one process."""
    folder = tmp_path_factory.mktemp("pca-umap")
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(40, 12)).astype(np.float32)
    dense[dense < 0.3] = 0
    ad.AnnData(dense).write_h5ad(folder / "dense.h5ad")
    ad.AnnData(sp.csr_matrix(dense)).write_zarr(folder / "sparse.zarr")
    given: dict[str, Any] = {
        "pca": {
            "dense": (str(folder / "one"), str(folder / "dense.h5ad"), None),
            "again": (str(folder / "one"), str(folder / "dense.h5ad"), None),
            "elsewhere": (str(folder / "two"), str(folder / "dense.h5ad"), None),
            "sparse": (str(folder / "one"), str(folder / "sparse.zarr"), None),
            "five": (str(folder / "one"), str(folder / "dense.h5ad"), 5),
        },
        "umap": {},
    }
    cells, of = blobs([10, 8], d=4)
    graphs = {}
    for name in ("one", "two"):
        cache = cache_at(folder / name)
        ref = cache.put(cells)
        graphs[name] = compute_neighbors(cache, ref, 8, "euclidean", 1).key
        given["umap"][f"umap {name}"] = (str(folder / name), graphs[name], ref.to_json(), 0)
    given["umap"]["umap seed"] = (*given["umap"]["umap one"][:3], 1)
    tiny = cache_at(folder / "one").put(cells[:3])
    tiny_graph = compute_neighbors(cache_at(folder / "one"), tiny, 8, "euclidean", 1).key
    given["umap"]["umap tiny"] = (str(folder / "one"), tiny_graph, tiny.to_json(), 0)
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(given)], check=True, timeout=120, capture_output=True,
        text=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    ).stdout  # fmt: skip
    done = json.loads(out.strip().splitlines()[-1])
    return {"folder": folder, "dense": dense, "of": of, "graph": graphs["one"], "given": given, "done": done}


def array(made: dict[str, Any], name: str, cache: str = "one") -> Any:
    return cache_at(made["folder"] / cache).get(ref_of(made, name))


def ref_of(made: dict[str, Any], name: str) -> ArrayRef:
    return ArrayRef.from_json(made["done"][name])


def test_pca_is_the_pca(made: dict[str, Any]) -> None:
    found = array(made, "dense")
    assert found.shape == (40, 11)
    assert found.dtype == np.float32
    centred = made["dense"].astype(np.float64) - made["dense"].mean(0)
    singular = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), singular[:11], rtol=1e-4)
    np.testing.assert_allclose(np.abs(array(made, "sparse")), np.abs(found), atol=1e-3)
    np.testing.assert_allclose(np.abs(array(made, "five")), np.abs(found[:, :5]), atol=1e-3)


def test_pca_is_deterministic_and_found_again(made: dict[str, Any]) -> None:
    assert made["done"]["again"] == made["done"]["dense"] == made["done"]["elsewhere"]
    path = str(made["folder"] / "dense.h5ad")
    # Found: scanpy, which this process has not imported, is not needed for it.
    before = "scanpy" in sys.modules
    assert compute_pca(opened(path), cache_at(made["folder"] / "one"), None) == ref_of(made, "dense")
    assert find_pca(opened(path), cache_at(made["folder"] / "one"), None) == ref_of(made, "dense")
    assert find_pca(opened(path), cache_at(made["folder"] / "one"), 7) is None
    assert ("scanpy" in sys.modules) == before


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.full((5, 4), np.nan), "NaN"),
        (np.ones((5, 1)), "too small.*use_rep"),
        (np.ones((5, 4)), "all cells are the same.*use_rep"),
    ],
)
def test_pca_refuses(values: Any, word: str, tmp_path: Path) -> None:
    ad.AnnData(values.astype(np.float32)).write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(InputError, match=word):
        compute_pca(opened(str(tmp_path / "in.h5ad")), cache_at(tmp_path / "cache"), None)


def test_umap_is_deterministic_and_its_seed_counts(made: dict[str, Any]) -> None:
    found = array(made, "umap one")
    assert found.shape == (18, 2)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, array(made, "umap two", "two"))
    assert not np.array_equal(found, array(made, "umap seed"))
    nearest = nearest_neighbors(found, 2).indices[:, 1]
    np.testing.assert_array_equal(made["of"][nearest], made["of"])
    assert array(made, "umap tiny").shape == (3, 2)


def test_umap_is_found_again(made: dict[str, Any]) -> None:
    cache: Cache = cache_at(made["folder"] / "one")
    _, graph, ref, _ = made["given"]["umap"]["umap one"]
    found = find_umap(cache, graph, ArrayRef.from_json(ref), "euclidean", 6, 0)
    assert found is not None
    assert (found.coordinates, found.n_cells, found.fallback) == (ref_of(made, "umap one"), 18, None)
    assert find_umap(cache, graph, ArrayRef.from_json(ref), "euclidean", 6, 2) is None
    assert find_umap(cache, "0" * 32, ArrayRef.from_json(ref), "euclidean", 6, 0) is None
