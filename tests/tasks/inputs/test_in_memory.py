"""An AnnData in memory is inspected as the file that it would be written to: the same digests, the same words."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements.in_memory import InMemory
from cellstrata.tasks.elements.reading import obs_columns, obs_names, read_x
from cellstrata.tasks.inputs.adata_parts import opened_adata
from cellstrata.tasks.inputs.inspection import Input, inspect_input, inspect_memory
from cellstrata.tasks.stores.places import Place
from tests.flows.planted import CELLS, GRAPH, N, embedding, graph, planted, with_zeros
from tests.tasks.everything import save
from tests.tasks.small import cache_at

Change = Callable[[ad.AnnData], Any]

FORMS: dict[str, Change] = {
    "as they are": lambda adata: None,
    "float64": embedding(lambda cells: cells.astype(np.float64)),
    "far from the origin": embedding(lambda cells: cells.astype(np.float64) + 1e9),
    "float16": embedding(lambda cells: cells.astype(np.float16)),
    "integers": embedding(lambda cells: (cells * 100).astype(np.int64)),
    "columns first": embedding(np.asfortranarray),
    "big-endian": embedding(lambda cells: cells.astype(">f4")),
    "sparse": embedding(sp.csr_matrix),
    "a frame": embedding(lambda cells: pd.DataFrame(cells, columns=[f"d{i}" for i in range(cells.shape[1])])),
    "a graph by columns": graph(lambda matrix: matrix.tocsc()),
    "a dense graph": graph(lambda matrix: matrix.toarray()),
    "a graph with zeros": graph(with_zeros),
    "names that occur twice": lambda adata: setattr(adata, "obs_names", ["same"] * N),
    "no record of the graph": lambda adata: adata.uns["neighbors"].pop("params"),
    "no graph": lambda adata: (adata.uns.clear(), adata.obsp.clear()),
    "what no file can hold": lambda adata: adata.uns["neighbors"]["params"].update(method_kwds={"a": object()}),
}
WRONG: dict[str, Change] = {
    "NaN": embedding(lambda cells: np.where(np.arange(len(cells))[:, None] == 3, np.nan, cells)),
    "texts": embedding(lambda cells: cells.astype(str).astype(object)),
    "no such embedding": lambda adata: adata.obsm.__setitem__("X_pcb", adata.obsm.pop("X_pca")),
    "no graph of that key": lambda adata: adata.uns.pop("neighbors") and adata.obsp.clear(),
    "a graph with NaN": graph(lambda matrix: matrix * np.nan),
}


def inspected(found: Any, config: ClusteringConfig, folder: Path) -> tuple[Input | None, list[str]]:
    """Inspect a file, or an AnnData, with a cache of its own."""
    cache = cache_at(folder / "cache")
    if isinstance(found, str):
        return inspect_input("memory", "adata", Place(found), config, str(folder / "out"), cache)
    return inspect_memory(opened_adata(found, config), "memory", "adata", config, cache)


def settings(**more: Any) -> ClusteringConfig:
    return ClusteringConfig(**{"algorithm": "leiden", "resolutions": [0.5], "hierarchy": 2, **more})


@pytest.mark.parametrize("form", FORMS)
def test_the_digests_are_those_of_the_file(form: str, tmp_path: Path) -> None:
    adata = planted()
    FORMS[form](adata)
    mine, none = inspected(adata, settings(), tmp_path / "memory")
    if form == "what no file can hold":
        del adata.uns["neighbors"]["params"]["method_kwds"]
    path = save(adata, tmp_path, "h5ad")
    of_file, _ = inspected(path, settings(), tmp_path / "file")
    assert not none
    assert mine is not None
    assert of_file is not None
    assert (mine.embeddings, mine.stored_graph, mine.n_cells) == (of_file.embeddings, of_file.stored_graph, N)
    assert (mine.neighbors, mine.neighbors_key) == (of_file.neighbors, of_file.neighbors_key)
    assert len(mine.notices) == len(of_file.notices)


@pytest.mark.parametrize("form", ["a view", "backed", "a backed graph"])
def test_a_view_and_what_a_file_backs_are_read(form: str, tmp_path: Path) -> None:
    chosen = np.arange(N) % 3 > 0
    small = planted()[chosen].copy()
    adata = planted()[chosen] if form == "a view" else ad.read_h5ad(save(small, tmp_path, "h5ad"), backed="r")
    more = {"neighbors_key": "neighbors"} if form == "a backed graph" else {"recompute_neighbors": True}
    mine, _ = inspected(adata, settings(**more), tmp_path / "memory")
    of_file, _ = inspected(save(small, tmp_path, "h5ad", "other"), settings(**more), tmp_path / "file")
    assert mine is not None
    assert of_file is not None
    assert (mine.embeddings, mine.stored_graph) == (of_file.embeddings, of_file.stored_graph)


@pytest.mark.parametrize("form", WRONG)
def test_what_is_wrong_is_said_as_of_the_file(form: str, tmp_path: Path) -> None:
    adata = planted()
    WRONG[form](adata)
    asked = settings(neighbors_key="neighbors") if "graph" in form else settings(neighbors={"use_rep": "X_pca"})
    path = save(adata, tmp_path, "zarr3")
    mine, said = inspected(adata, asked, tmp_path / "memory")
    of_file, in_file = inspected(path, asked, tmp_path / "file")
    assert mine is None
    assert of_file is None
    assert said
    own = [line.removeprefix(f"memory/adata: {path}").partition("; ")[0] for line in in_file]
    assert [line.removeprefix("adata").partition("; ")[0].partition(" or give ")[0] for line in said] == [
        line.partition(" or set ")[0] for line in own
    ]
    assert not any("`recompute_neighbors: true`" in line or "`neighbors." in line for line in said)


def test_values_that_are_not_read_are_not_copied() -> None:
    adata = ad.AnnData(np.ones((N, 3_000), np.float32), obs=planted().obs, obsm=dict(planted().obsm))
    adata.obsm["X_large"], adata.layers["counts"] = np.ones((N, 3_000), np.float32), adata.X
    adata.obsp["connectivities"], adata.uns["neighbors"] = GRAPH.copy(), planted().uns["neighbors"]
    adata.obs["odd"] = [object()] * N
    adata.uns["odd"] = object()
    opened = opened_adata(adata, settings())
    with opened.root() as root:
        assert "X_large" in root["obsm"]
        assert root["obsm/X_large"].shape == (N, 3_000)
        assert np.isnan(root["obsm/X_large"][:2]).all(), "whoever reads it all the same does not find zeros"
        assert obs_columns(root) == ["cloud", "odd"]
        assert "odd" not in root["uns"]
    size = len(pickle.dumps(opened))
    assert CELLS.nbytes + GRAPH.data.nbytes < size < 8 * (CELLS.nbytes + GRAPH.data.nbytes)


def test_x_is_there_for_a_pca_and_goes_to_another_process() -> None:
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sp.csr_matrix(rng.poisson(0.3, (40, 60)).astype(np.float32)))
    opened = pickle.loads(pickle.dumps(opened_adata(adata, settings())))
    assert isinstance(opened, InMemory)
    with opened.root() as root:
        assert (read_x(root) != adata.X).nnz == 0
        assert obs_names(root).tolist() == adata.obs_names.tolist()
    opened.close()
