"""Embeddings of float64 that float32 cannot hold: centred where that matters, else with the bits they had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import save
from tests.tasks.small import CELLS, cache_at

WIDE = CELLS.astype(np.float64)


def staged(values: Any, folder: Path, metric: str = "euclidean") -> tuple[np.ndarray, str, list[str]]:
    """Return the values that are put in the cache, their digest, and what is said of them, twice the same."""
    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(values))])
    path = save(ad.AnnData(obs=obs, obsm={"X_pca": values}), folder, "h5ad")
    settings = {"recompute_neighbors": True, "neighbors": {"metric": metric}}
    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
    cache = cache_at(folder / "cache")
    said = []
    for _ in range(2):
        found, problems = inspect_input("d", "f", Place(str(path)), config, str(folder / "out"), cache)
        assert problems == []
        assert found is not None
        said.append([notice for notice in found.notices if "X_pca" in notice])
    assert said[0] == said[1]
    (ref,) = found.embeddings.values()
    assert ref is not None
    return np.asarray(cache.get(ref)), ref.digest, said[0]


@pytest.mark.parametrize("offset", [0.0, 10.0, 100.0])
def test_an_ordinary_float64_embedding_keeps_its_bits(offset: float, tmp_path: Path) -> None:
    values = WIDE + offset
    _, digest, said = staged(values, tmp_path)
    assert digest == digest_array(np.ascontiguousarray(values, dtype=np.float32))
    assert said == []


@pytest.mark.parametrize("values", [WIDE + 1e9, np.rint(WIDE * 1000).astype(np.int64) + 10**12])
def test_one_far_from_the_origin_is_centred(values: Any, tmp_path: Path) -> None:
    found, _, said = staged(values, tmp_path)
    exact = values - values.min(0)
    np.testing.assert_allclose(found - found.min(0), exact, atol=1e-5 * np.ptp(exact))
    assert len(np.unique(found, axis=0)) == len(np.unique(values, axis=0))
    assert len(said) == 1
    assert "centred first" in said[0]


def test_of_angles_the_origin_stays_and_a_notice_says_what_falls_together(tmp_path: Path) -> None:
    values = WIDE + 1e12
    found, digest, said = staged(values, tmp_path, "cosine")
    assert digest == digest_array(values.astype(np.float32))
    fallen = len(np.unique(values, axis=0)) - len(np.unique(found, axis=0))
    assert said == [f"obsm['X_pca']: {fallen} rows differ from others by less than float32 can tell, and fall together"]


def test_rows_that_differ_too_little_even_when_centred(tmp_path: Path) -> None:
    values = WIDE.copy()
    values[1] = values[0] + 1e-12
    said = staged(values, tmp_path)[2]
    assert said == ["obsm['X_pca']: 1 rows differ from others by less than float32 can tell, and fall together"]
