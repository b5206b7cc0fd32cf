from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.kernels import engines
from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.stores.digest import canonical_json, digest_array, digest_values
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees import keys
from cellstrata.tasks.trees.keys import graph_key, split_key, stored_graph_key
from tests.tasks.small import CELLS, cache_at, graph_of, grow, plan_for, with_seed

LEIDEN = PartitionSpec("leiden", 0.5, n_iterations=2, seed=0)


def key(spec: PartitionSpec = LEIDEN, engine: str = "igraph", graph: str = "g") -> str:
    return split_key(graph, spec, load_engine(engine))


def test_what_a_split_depends_on() -> None:
    base = key()
    assert key(replace(LEIDEN, resolution=0.6)) != base
    assert key(replace(LEIDEN, seed=1)) != base
    assert key(replace(LEIDEN, n_iterations=-1)) != base
    assert key(replace(LEIDEN, use_weights=False)) != base
    assert key(replace(LEIDEN, algorithm="louvain")) != base
    assert key(engine="leidenalg") != base
    assert key(graph="h") != base
    assert key(replace(LEIDEN, resolution=np.float64(0.5))) == base  # type: ignore[arg-type]
    assert key(PartitionSpec("leiden", 1)) == key(PartitionSpec("leiden", 1.0))


def test_iterations_are_no_part_of_louvain() -> None:
    louvain = replace(LEIDEN, algorithm="louvain")
    assert key(replace(louvain, n_iterations=5)) == key(louvain)
    assert key(replace(louvain, seed=5)) != key(louvain)


@pytest.mark.parametrize("engine", ["igraph", "leidenalg"])
def test_the_engines_version_counts(engine: str, monkeypatch: Any) -> None:
    before = key(engine=engine)
    monkeypatch.setattr(engines, "package_version", lambda package: "99.0")
    assert key(engine=engine) != before


def test_scheme_version_counts(monkeypatch: Any) -> None:
    before = key(), graph_key("c", 100, 15, "euclidean"), stored_graph_key(3, "a", "b")
    monkeypatch.setattr(keys, "SCHEME", keys.SCHEME + 1)
    after = key(), graph_key("c", 100, 15, "euclidean"), stored_graph_key(3, "a", "b")
    assert not set(before) & set(after)


def test_what_a_graph_depends_on(monkeypatch: Any) -> None:
    base = graph_key("c", 100, 15, "euclidean")
    assert graph_key("d", 100, 15, "euclidean") != base
    assert graph_key("c", 100, 16, "euclidean") != base
    assert graph_key("c", 100, 15, "cosine") != base
    assert graph_key("c", 10, 15, "euclidean") == graph_key("c", 10, 99, "euclidean")  # no more than there are
    monkeypatch.setattr("cellstrata.tasks.kernels.knn.EXACT_UP_TO", 50)
    assert graph_key("c", 100, 15, "euclidean") != base  # another search


def test_what_a_stored_graph_depends_on() -> None:
    found = {stored_graph_key(*of) for of in [(3, "a", "b"), (4, "a", "b"), (3, "b", "a"), (3, "a", "c")]}
    assert len(found) == 4


def test_what_changes_the_keys_of_a_tree(tmp_path: Any) -> None:
    cache = cache_at(tmp_path)
    plan = plan_for(cache, CELLS, 2)
    base = set(grow(plan, cache).keys().values()) - {None}

    def shared(other: Any) -> bool:
        return bool(base & (set(grow(other, cache).keys().values()) - {None}))

    changed = CELLS.copy()
    changed[0, 0] = np.nextafter(changed[0, 0], np.float32(9))
    assert grow(plan_for(cache, changed, 1), cache).keys()[()] not in base
    assert not shared(with_seed(plan, 1))
    assert not shared(plan_for(cache, CELLS, 2, resolution=0.7))
    assert not shared(plan_for(cache, CELLS, 2, n_neighbors=11))
    assert not shared(plan_for(cache, CELLS, 2, metric="cosine"))
    assert not shared(plan_for(cache, CELLS, 2, algorithm="louvain"))
    assert not shared(plan_for(cache, CELLS, 2, engine="leidenalg"))
    # What is asked elsewhere in the tree, and where the cache lies, is no part of a node's key.
    assert base < set(grow(plan_for(cache, CELLS, 3), cache).keys().values())
    elsewhere = cache_at(tmp_path / "other")
    assert set(grow(plan_for(elsewhere, CELLS, 2), elsewhere).keys().values()) - {None} == base


def inspected(path: Any, cache: Any, **settings: Any) -> Any:
    from cellstrata.tasks.inputs.inspection import inspect_input

    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
    found, problems = inspect_input("d", "f", Place(str(path)), config, str(path.parent / "out"), cache)
    assert not problems
    assert found is not None
    return found


def test_name_path_format_and_other_columns_are_no_part_of_it(tmp_path: Any) -> None:
    import anndata as ad
    import pandas as pd

    adata = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(len(CELLS))]), obsm={"X_pca": CELLS})
    adata.obsp["connectivities"] = graph_of(CELLS).to_csr()
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 10}}
    cache = cache_at(tmp_path / "cache")
    adata.write_h5ad(tmp_path / "one.h5ad")
    adata.obs["more"] = 1.0
    (tmp_path / "deep").mkdir()
    adata.write_h5ad(tmp_path / "deep" / "two.h5ad")
    adata.write_zarr(tmp_path / "three.zarr")
    paths = [tmp_path / "one.h5ad", tmp_path / "deep" / "two.h5ad", tmp_path / "three.zarr"]
    found = [inspected(path, cache, hierarchy=2) for path in paths]
    assert len({one.stored_graph for one in found}) == 1
    assert len({tuple(one.embeddings.items()) for one in found}) == 1


@given(st.permutations(["a", "b", "c", "d"]))
def test_order_of_values_does_not_count(order: list[str]) -> None:
    values: dict[str, Any] = {"a": 1, "b": {"x": 1, "y": [1, 2]}, "c": None, "d": "é"}
    assert digest_values(**{name: values[name] for name in order}) == digest_values(**values)


def test_values_must_be_json() -> None:
    for bad in (float("nan"), float("inf"), {1, 2}, np.float32(1), b"x"):
        with pytest.raises((TypeError, ValueError)):
            digest_values(value=bad)
    assert canonical_json({"b": 1, "a": [True, None]}) == b'{"a":[true,null],"b":1}'


def test_digest_of_an_array_is_of_its_values_type_and_shape() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    base = digest_array(values)
    assert digest_array(np.asfortranarray(values)) == base
    assert digest_array(values.astype(">f4")) == base
    assert digest_array(np.repeat(values, 2, axis=0)[::2]) == base
    others = [
        values.reshape(4, 3),
        values.ravel(),
        values.astype(np.float64),
        values.view(np.int32),
        values[:2],
    ]
    assert len({base, *map(digest_array, others)}) == 6
    assert digest_array(np.empty((0, 2), np.float32)) != digest_array(np.empty((2, 0), np.float32))
