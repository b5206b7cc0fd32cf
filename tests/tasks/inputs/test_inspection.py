from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.cache.cache import ArrayRef, Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.inputs.inspection import Input, inspect_input, wanted_neighbors
from cellstrata.tasks.inputs.level_1 import Level1
from cellstrata.tasks.kernels.graph import from_adjacency
from cellstrata.tasks.kernels.knn import EXACT_UP_TO
from cellstrata.tasks.stores.digest import digest_array
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.plan import EmbeddingChoice
from tests.tasks.small import CELLS, cache_at, graph_of, placed

N = len(CELLS)
FORMATS = ("h5ad", "zarr")
PCA, SCVI = EmbeddingChoice("X_pca"), EmbeddingChoice("X_scvi")


def table(**neighbors: Any) -> ad.AnnData:
    """Return cells with X_pca, an integrated embedding, a stored graph, colours and genes."""
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(["a", "b"] * (N // 2)), "donor": "d"}, index=[f"c{i}" for i in range(N)]
    )
    var = pd.DataFrame(index=["CD3D", "LYZ", "NKG7"])
    adata = ad.AnnData(X=np.ones((N, 3), np.float32), obs=obs, var=var)
    adata.obsm["X_pca"] = CELLS
    adata.obsm["X_scvi"] = CELLS[:, ::-1].copy()
    adata.obsm["X_umap"] = CELLS[:, :2].copy()
    adata.obsp["connectivities"] = graph_of(CELLS).to_csr()
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"n_neighbors": 10, "method": "umap", "metric": "euclidean", **neighbors},
    }
    return adata


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


@pytest.fixture(autouse=True)
def x_is_not_read(monkeypatch: Any) -> None:
    def refuse(root: Any) -> Any:
        raise AssertionError("X was read")

    monkeypatch.setattr(elements, "read_x", refuse)


Inspect = Callable[..., tuple[Input | None, list[str]]]


@pytest.fixture
def inspect(tmp_path: Path, cache: Cache) -> Inspect:
    """Write cells to a file and inspect it with some settings."""

    def run(adata: ad.AnnData | None, form: str = "h5ad", out: str = "out", **settings: Any) -> Any:
        path = tmp_path / f"in.{form}"
        if adata is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                adata.write_h5ad(path) if form == "h5ad" else adata.write_zarr(path)
        config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
        return inspect_input("lung", "core", Place(str(path)), config, str(tmp_path / out), cache)

    return run


def good(result: tuple[Input | None, list[str]]) -> Input:
    found, problems = result
    assert problems == []
    assert found is not None
    return found


def wrong(result: tuple[Input | None, list[str]], *words: str) -> list[str]:
    """Check that there is one problem, in one line that names the input, and holds these words."""
    found, problems = result
    assert found is None
    assert len(problems) == 1, problems
    assert problems[0].startswith("lung/core: ")
    assert "\n" not in problems[0]
    for word in words:
        assert word in problems[0], problems[0]
    return problems


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ({"hierarchy": 3, "embedding": "pca"}, set()),
        ({"hierarchy": 3, "embedding": "pca", "recompute_neighbors": True}, {PCA}),
        ({"hierarchy": 3, "embedding": "pca", "recompute_umap": True}, {PCA}),
        ({"hierarchy": 3, "embedding": "pca", "evidence": True}, {PCA}),
        ({"hierarchy": {"levels": {2: {"embedding": "pca"}, 3: {}}}}, {PCA}),
        ({"hierarchy": {"levels": {2: {"embedding": "pca"}, 3: {"use_rep": "X_scvi"}}}}, {SCVI}),
        ({"hierarchy": {"levels": {2: {}}, "clusters": {"1": {"embedding": "reuse"}}}, "embedding": "pca"}, {PCA}),
    ],
)
def test_embeddings_of_all_cells_are_read_where_they_are_used(inspect: Inspect, asked: Any, read: set[Any]) -> None:
    found = good(inspect(table(use_rep="X_pca"), **asked))
    assert set(found.embeddings) == read
    many = ArrayRef("0" * 64, "<f4", (EXACT_UP_TO + 1, 5))
    settings = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **asked})
    level_1 = Level1(source=found, settings=settings, placement=placed(), rehash=False)
    below = wanted_neighbors(settings, found.neighbors, root=False, umap=False)
    used = {spec.embedding for spec in below if spec.embedding.own is None}
    assert used <= read
    assert len(level_1.lists(dict.fromkeys([PCA, SCVI], many))) == len(used), "lists that no cluster takes from"


@pytest.mark.parametrize("form", FORMATS)
def test_a_good_input(form: str, inspect: Inspect, cache: Cache, tmp_path: Path) -> None:
    found = good(inspect(table(use_rep="X_pca"), form, hierarchy=2, umap_colors=["cell_type", "CD3D", "leiden_0.5_2"]))
    assert found.name == "lung/core"
    assert found.n_cells == N
    assert found.url == str(tmp_path / f"in.{form}")
    assert found.output == str(tmp_path / "out/clustering/dataset~lung/file_id~core.zarr")
    assert found.labels == str(tmp_path / "out/clustering/dataset~lung/file_id~core/labels.parquet")
    assert found.umap == "stored"
    assert found.notices == ()
    assert set(found.embeddings) == {PCA}
    ref = found.embeddings[PCA]
    assert ref is not None
    assert ref.digest == digest_array(CELLS)
    np.testing.assert_array_equal(cache.get(ref), CELLS)
    assert (found.neighbors.n_neighbors, found.neighbors.metric, found.neighbors.embedding) == (
        10,
        "euclidean",
        PCA,
    )
    record = cache.find(str(found.stored_graph), "graph")
    assert record is not None
    expected, _ = from_adjacency(table().obsp["connectivities"])
    np.testing.assert_array_equal(cache.array(record, "edges"), expected.edges)


def test_one_level_on_a_stored_graph_reads_no_embedding(inspect: Inspect) -> None:
    adata = table()
    del adata.obsm["X_pca"]
    assert good(inspect(adata)).embeddings == {}


def test_recorded_embedding_is_used_for_deeper_levels(inspect: Inspect) -> None:
    found = good(inspect(table(use_rep="X_scvi"), hierarchy=3))
    assert set(found.embeddings) == {SCVI}
    assert found.neighbors.embedding == SCVI
    asked = good(inspect(table(use_rep="X_scvi"), hierarchy=3, neighbors={"use_rep": "X_pca", "metric": "cosine"}))
    assert (asked.neighbors.embedding, asked.neighbors.metric, asked.neighbors.n_neighbors) == (
        PCA,
        "cosine",
        10,
    )


def test_every_embedding_that_a_level_asks_for_is_staged(inspect: Inspect, cache: Cache) -> None:
    hierarchy = {"levels": {2: {"use_rep": "X_scvi"}, 3: {"n_pcs": 2}}, "clusters": {"1_0": {"n_pcs": 1}}}
    found = good(inspect(table(), hierarchy=hierarchy))
    assert set(found.embeddings) == {SCVI, EmbeddingChoice("X_pca", 2), EmbeddingChoice("X_pca", 1)}
    ref = found.embeddings[EmbeddingChoice("X_pca", 2)]
    assert ref is not None
    np.testing.assert_array_equal(cache.get(ref), CELLS[:, :2])


def test_recorded_parameters_of_older_scanpy(inspect: Inspect) -> None:
    adata = table(n_neighbors=np.array([12]), n_pcs=np.int64(2), metric=np.array(["euclidean"], dtype=object))
    found = good(inspect(adata, hierarchy=2))
    assert found.neighbors.n_neighbors == 12
    assert found.neighbors.embedding == EmbeddingChoice("X_pca", 2)


def test_says_when_the_embedding_of_the_graph_is_not_known(inspect: Inspect) -> None:
    notices = good(inspect(table(), hierarchy=2)).notices
    assert any("X_pca" in notice and "use_rep" in notice for notice in notices)


def test_missing_neighbors_key(inspect: Inspect) -> None:
    wrong(inspect(table(), neighbors_key="harmony"), "uns['harmony']", "neighbors", "recompute_neighbors")
    adata = table()
    adata.uns["harmony"] = adata.uns.pop("neighbors") | {"connectivities_key": "c"}
    adata.obsp["c"] = adata.obsp["connectivities"]
    found = good(inspect(adata, neighbors_key="harmony"))
    assert found.neighbors_key == "harmony"
    assert found.stored_graph is not None


def test_no_graph(inspect: Inspect) -> None:
    adata = table()
    del adata.uns["neighbors"], adata.obsp["connectivities"]
    found = good(inspect(adata))
    assert found.stored_graph is None
    assert set(found.embeddings) == {PCA}
    assert any("one is computed" in notice for notice in found.notices)
    wrong(inspect(None, neighbors=False), "uns['neighbors']")
    assert good(inspect(None, recompute_neighbors=True)).notices == ()


def test_recomputed_graph_needs_the_embedding_and_not_the_graph(inspect: Inspect) -> None:
    adata = table()
    adata.obsp["connectivities"].data[:] = np.nan
    found = good(inspect(adata, recompute_neighbors=True, neighbors={"use_rep": "X_scvi"}))
    assert found.stored_graph is None
    assert set(found.embeddings) == {SCVI}


def test_missing_embedding_with_suggestion(inspect: Inspect) -> None:
    settings = {"neighbors": {"use_rep": "X_scv"}, "recompute_neighbors": True}
    wrong(inspect(table(), **settings), "obsm['X_scv']", "did you mean `X_scvi`?", "use_rep")


def test_missing_embedding_at_a_level(inspect: Inspect) -> None:
    wrong(
        inspect(table(), hierarchy={"levels": {2: 0.3, 3: {"use_rep": "X_pcaa"}}}),
        "obsm['X_pcaa']",
        "`X_pca`",
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: float, inspect: Inspect) -> None:
    adata = table()
    adata.obsm["X_pca"] = CELLS.copy()
    adata.obsm["X_pca"][[7, 90], 1] = bad
    wrong(inspect(adata, hierarchy=2), "obsm['X_pca']", "2 cells", "row 7")
    good(inspect(None))  # not needed, not read


def test_too_few_columns(inspect: Inspect) -> None:
    wrong(inspect(table(), hierarchy=2, neighbors={"n_pcs": 20}), "obsm['X_pca']", "3 columns", "20")


@pytest.mark.parametrize("form", FORMATS)
def test_wrong_number_of_rows(form: str, inspect: Inspect, tmp_path: Path) -> None:
    good(inspect(table(), form))
    if form == "h5ad":
        import h5py

        with h5py.File(tmp_path / "in.h5ad", "r+") as file:
            del file["obsm/X_pca"]
            file["obsm/X_pca"] = CELLS[:-5]
    else:
        import zarr

        group = zarr.open_group(str(tmp_path / "in.zarr"), mode="r+", use_consolidated=False)
        del group["obsm/X_pca"]
        group.create_array("obsm/X_pca", data=CELLS[:-5])
    wrong(inspect(None, form, hierarchy=2), "obsm['X_pca']", str(N - 5), str(N))


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (-1.0, "negative")])
def test_bad_graph(value: float, word: str, inspect: Inspect) -> None:
    adata = table()
    adata.obsp["connectivities"].data[3] = value
    wrong(inspect(adata), "obsp['connectivities']", word, "recompute_neighbors")


def test_asymmetric_graph_is_said(inspect: Inspect) -> None:
    adata = table()
    adata.obsp["connectivities"] = sp.csr_matrix(sp.triu(adata.obsp["connectivities"]))
    assert any("not symmetric" in notice for notice in good(inspect(adata)).notices)


def test_distances_are_never_taken_for_the_graph(inspect: Inspect) -> None:
    adata = table()
    adata.obsp["distances"] = adata.obsp["connectivities"]
    del adata.obsp["connectivities"]
    wrong(inspect(adata, neighbors_key="neighbors"), "no graph with connectivities")


def test_colour_with_suggestion(inspect: Inspect) -> None:
    wrong(inspect(table(), umap_colors=["cell_typ", "donor"]), "obs['cell_typ']", "did you mean `cell_type`?")
    wrong(inspect(table(), plots={"colors": ["CD3E"]}), "obs['CD3E']", "did you mean `CD3D`?")
    wrong(inspect(table(), plots={"plot_centroids": ["zzz"]}), "obs['zzz']", "cell_type")


def test_recorded_metric_that_is_not_supported(inspect: Inspect) -> None:
    wrong(inspect(table(metric="manhattan"), hierarchy=2), "uns['neighbors']", "manhattan", "neighbors.metric")
    good(inspect(None))  # one level on the stored graph needs no metric
    good(inspect(None, hierarchy=2, neighbors={"metric": "cosine"}))


def test_missing_pca_is_computed_later(inspect: Inspect) -> None:
    adata = table()
    del adata.obsm["X_pca"]
    found = good(inspect(adata, recompute_neighbors=True))
    assert found.embeddings == {PCA: None}
    assert any("PCA" in notice for notice in found.notices)
    bare = ad.AnnData(obs=adata.obs, obsm={"X_scvi": CELLS})
    wrong(inspect(bare, recompute_neighbors=True), "obsm['X_pca']", "X_scvi")


def test_umap(inspect: Inspect) -> None:
    adata = table()
    del adata.obsm["X_umap"]
    assert good(inspect(adata)).umap == "none"
    assert any("recompute_umap" in notice for notice in good(inspect(None, umap_colors=["donor"])).notices)
    asked = good(inspect(None, recompute_umap=True))
    assert asked.umap == "compute"
    assert set(asked.embeddings) == {PCA}


def test_foreign_output(inspect: Inspect, tmp_path: Path) -> None:
    there = tmp_path / "out" / "clustering" / "dataset~lung" / "file_id~core.zarr"
    there.mkdir(parents=True)
    (there / "thesis.txt").write_text("important")
    wrong(inspect(table()), str(there), "not made by cellstrata", "output_dir")


@pytest.mark.parametrize("inside", ["", "/tables/one"])
def test_output_over_its_own_input(inside: str, tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "out" / "clustering" / "dataset~lung" / "file_id~core.zarr"
    table().write_zarr(str(path) + inside)
    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5]})
    result = inspect_input("lung", "core", Place(str(path) + inside), config, str(tmp_path / "out"), cache)
    wrong(result, "over its own input", "output_dir")
    beneath = inspect_input("lung", "core", Place(str(path) + inside), config, str(path) + inside + "/more", cache)
    wrong(beneath, "over its own input")


def test_duplicate_names_are_a_notice(inspect: Inspect) -> None:
    adata = table()
    adata.obs_names = ["same", "same", *[f"c{i}" for i in range(N - 2)]]
    assert any("twice" in notice for notice in good(inspect(adata)).notices)


def test_overwrite_false(inspect: Inspect) -> None:
    adata = table()
    adata.obs["leiden_0.5_2"] = "0"
    wrong(inspect(adata, hierarchy=2, overwrite=False), "leiden_0.5_2", "leiden_0.5_1", "overwrite")
    assert good(inspect(None, hierarchy=2)).kept_columns == frozenset()
    adata.obs["leiden_0.5_1"] = "0"
    for hierarchy, columns in ((1, {"leiden_0.5_1"}), (3, {"leiden_0.5_1", "leiden_0.5_2"})):
        kept = good(inspect(adata, overwrite=False, resolutions=[0.5, 1.0], hierarchy=hierarchy))
        assert kept.kept_columns == columns
        assert any("leiden_0.5_1" in notice for notice in kept.notices)
    adata.obs["leiden_0.5_2"] = np.linspace(0, 1, N)
    wrong(inspect(adata, hierarchy=3, overwrite=False), "leiden_0.5_2", "not whole", "overwrite")


@pytest.mark.parametrize("form", FORMATS)
def test_several_problems_together(form: str, inspect: Inspect, tmp_path: Path) -> None:
    adata = table()
    adata.obsm["X_pca"] = CELLS * np.nan
    adata.obs["leiden_0.5_3"] = "0"
    (tmp_path / "out/clustering/dataset~lung/file_id~core.zarr/mine").mkdir(parents=True)
    settings: dict[str, Any] = {
        "neighbors_key": "absent",
        "hierarchy": {"levels": {2: {}, 3: {"use_rep": "X_none"}}},
        "overwrite": False,
        "umap_colors": ["nothing", "like_it"],
    }
    found, problems = inspect(adata, form, **settings)
    assert found is None
    for word in (
        "absent",
        "NaN",
        "X_none",
        "'nothing'",
        "'like_it'",
        "leiden_0.5_2",
        "not made by cellstrata",
    ):
        assert sum(word in problem for problem in problems) >= 1, (word, problems)
    assert len(problems) == 7
    assert all(problem.startswith("lung/core: ") for problem in problems)


@pytest.mark.parametrize("content", [None, b"", b"not a file of cells"])
def test_no_usable_file(content: bytes | None, inspect: Inspect, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "in.h5ad").write_bytes(content)
    wrong(inspect(None), str(tmp_path / "in.h5ad"))


@pytest.mark.parametrize("form", FORMATS)
def test_cells_without_a_name_are_refused(form: str, inspect: Inspect, tmp_path: Path) -> None:
    good(inspect(table(), form))
    path = tmp_path / f"in.{form}"
    names = pd.Categorical([None, None, *[f"c{i}" for i in range(N - 2)]])
    with contextlib.ExitStack() as stack:
        if form == "h5ad":
            root: Any = stack.enter_context(h5py.File(path, "r+"))
        else:
            root = zarr.open_group(path, mode="r+", use_consolidated=False)
        del root["obs/_index"]
        ad.io.write_elem(root["obs"], "_index", names)
    wrong(inspect(None, form), "obs", f"2 of {N} cells have no name", "obs_names")


def test_a_batch_column_of_numbers_is_noticed(inspect: Inspect) -> None:
    adata = table()
    adata.obs["depth"] = np.linspace(0, 1, N)
    found = good(inspect(adata, batch_keys=["depth", "donor", "cell_type"]))
    (said,) = [notice for notice in found.notices if "batch_keys" in notice]
    assert said.startswith(f"`batch_keys` names depth, which has {N} values for {N} cells")
