"""Files that older anndata wrote (`old_files/make.py` says how), read and clustered by the one at hand."""

from __future__ import annotations

import functools
import gzip
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.legacy import uns_categories
from cellstrata.tasks.elements.opening import kind_of
from cellstrata.tasks.elements.reading import open_anndata
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.inputs.plans import tree_plans
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.plan import EmbeddingChoice
from tests.no_warnings import no_warnings
from tests.tasks.everything import assert_kept, load, tree_hash
from tests.tasks.places import opened
from tests.tasks.small import cache_at, grow, same_partition

FOLDER = Path(__file__).parent / "old_files"
PACKED = sorted(path.name for path in FOLDER.glob("anndata_*"))
FOLDERS = [name.removesuffix(".zip") for name in PACKED if name.endswith(".zip")]
SIZES = [16, 14, 12]
N = sum(SIZES)


@dataclass(frozen=True)
class Old:
    """An old file: the path it is read from, and what it holds."""

    form: str
    url: str
    plain: ad.AnnData


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, ad.AnnData]]:
    """Return what unpacks a file, once, and loads it with plain anndata."""
    folder = tmp_path_factory.mktemp("old")

    @functools.cache
    def unpack(name: str) -> tuple[str, ad.AnnData]:
        path = folder / name.removesuffix(".gz").removesuffix(".zip")
        if name.endswith(".gz"):
            path.write_bytes(gzip.decompress((FOLDER / name).read_bytes()))
        else:
            with zipfile.ZipFile(FOLDER / name) as packed:
                packed.extractall(path)
        return str(path), as_its_writer_has_it(load(str(path)))

    return unpack


@pytest.fixture(scope="module", params=PACKED)
def old(request: pytest.FixtureRequest, unpacked: Callable[[str], tuple[str, ad.AnnData]]) -> Old:
    form = request.param  # a zarr is in its zip file, or as a folder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells of each old form
        path, plain = unpacked(f"{form}.zip" if form.endswith(".zarr") else form)
    return Old(form, str(FOLDER / form) if form.endswith(".zip") else path, plain)


def as_its_writer_has_it(adata: ad.AnnData) -> ad.AnnData:
    """Give raw the categories that 0.6 keeps in `raw.cat`, which anndata no longer reads."""
    kinds = adata.raw.var["kind"]
    if kinds.dtype.kind == "i":
        adata.raw.var["kind"] = pd.Categorical.from_codes(kinds, ["a", "b"])
    return with_objects(adata)


def with_objects(adata: ad.AnnData) -> ad.AnnData:
    """Hold a column of strings as objects: pandas 3 has its own for an h5ad, and anndata another for a zarr."""
    adata.obs["text"] = adata.obs["text"].astype(object)
    return adata


def test_each_version_is_there_and_says_so(old: Old) -> None:
    assert kind_of(Place(old.url)) == ("zip" if old.form.endswith(".zip") else "h5ad")
    with open_anndata(Place(old.url)) as root:
        writer = str(np.ravel(elements.read_uns(root, "made_with/anndata"))[0])
    assert old.form.startswith((f"anndata_{writer}.h5ad", f"anndata_{writer}.zarr"))


def test_no_version_is_missing_and_none_is_large() -> None:
    named = [re.match(r"anndata_(\d+\.\d+)\..*\.(h5ad\.gz|zarr\.zip)$", name) for name in PACKED]
    assert {match.groups() for match in named if match} == {
        *((version, "h5ad.gz") for version in ("0.6", "0.7", "0.8", "0.9", "0.10", "0.11", "0.12")),
        *((version, "zarr.zip") for version in ("0.8", "0.11")),
    }
    assert all((FOLDER / name).stat().st_size < 60_000 for name in PACKED)


def test_an_old_file_reads_as_anndata_reads_it(old: Old) -> None:
    obs = old.plain.obs.reset_index(drop=True)
    with open_anndata(Place(old.url)) as root:
        assert elements.n_obs(root) == N
        assert elements.obs_names(root).tolist() == list(old.plain.obs_names)
        assert elements.var_names(root).tolist() == list(old.plain.var_names)
        assert elements.obs_columns(root) == list(obs.columns)
        for name in obs.columns:
            column = elements.read_obs_column(root, name)
            assert name == "text" or column.dtype == obs[name].dtype
            pd.testing.assert_series_equal(column.astype(obs[name].dtype), obs[name])
        assert list(elements.read_obs_column(root, "group").cat.categories) == ["1", "001", "01", "unused"]
        assert set(elements.obsm_shapes(root)) == set(old.plain.obsm)
        for key, value in old.plain.obsm.items():
            table = elements.read_obsm(root, key)
            assert table.dtype == np.float32
            assert np.array_equal(table, np.asarray(value).astype(np.float32))
        assert set(elements.obsp_keys(root)) == {"connectivities", "distances"} == set(old.plain.obsp)
        for key in old.plain.obsp:
            assert (elements.read_obsp(root, key) != sp.csr_matrix(old.plain.obsp[key], dtype=np.float32)).nnz == 0
        assert (elements.read_x(root) != old.plain.X).nnz == 0
        assert set(elements.uns_keys(root)) - set(uns_categories(root)) == set(old.plain.uns)


@pytest.mark.parametrize("old", [*PACKED, *FOLDERS], indirect=True)
def test_publishing_keeps_all_of_an_old_file(old: Old, tmp_path: Path) -> None:
    out = str(tmp_path / "out" / "out.zarr")
    labels = {
        "leiden_0.5_1": pd.Categorical([str(i % 3) for i in range(N)]),
        "leiden_0.5_2": pd.Categorical([f"{i % 3}_{i % 2}" for i in range(N)]),
    }
    before = tree_hash(old.url)
    with no_warnings(DeprecationWarning):
        report = publish(opened(old.url), Place(out), obs=labels, uns={"clustering": {"seed": 0}})
    assert tree_hash(old.url) == before
    assert report.mode == {"gz": "converted", "zip": "copied", "zarr": "linked"}[old.form.rpartition(".")[2]]
    new = with_objects(load(out))
    assert_kept(old.plain, new, {"obs": list(labels), "uns": ["clustering"]})
    for name, column in labels.items():
        assert list(new.obs[name]) == list(column)


def test_the_groups_of_an_old_file_are_found(old: Old, tmp_path: Path) -> None:
    settings = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": {"levels": {2: 2.0}}}
    config = ClusteringConfig.model_validate(settings)
    cache = cache_at(tmp_path / "cache")
    with no_warnings():
        found, problems = inspect_input("old", "core", Place(old.url), config, str(tmp_path / "out"), cache)
    assert problems == []
    assert found is not None
    # Before 0.8 no embedding was recorded, and scanpy took X itself of so few variables.
    used = "X" if old.form.startswith(("anndata_0.6", "anndata_0.7")) else "X_pca"
    assert (found.n_cells, found.umap, list(found.embeddings)) == (N, "stored", [EmbeddingChoice(used)])
    assert (found.neighbors.n_neighbors, found.neighbors.metric) == (6, "euclidean")
    assert found.stored_graph is not None
    embeddings = {choice: ref for choice, ref in found.embeddings.items() if ref is not None}
    (plan,) = tree_plans(config, found, embeddings, found.stored_graph, False)
    assert plan.root_graph_stored
    grown = grow(plan, cache)
    first, second = grown.labels()
    assert same_partition(first, old.plain.obs["group"])
    assert [first.count(label) for label in "012"] == SIZES
    assert [label.rsplit("_")[0] for label in second] == first
    assert {path for path, key in grown.keys().items() if key} == {(), (0,), (1,), (2,)}
    assert len(set(second)) > 3
