"""X, var, and what else a run reads of a zarr in a bucket that is younger than its consolidated metadata."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.elements.own_metadata import older_than
from cellstrata.tasks.elements.spatialdata import spatialdata_columns
from cellstrata.tasks.evaluation.covariates import Categories, read_covariate
from cellstrata.tasks.evaluation.gene_cache import GeneSource, gene_key, kept_genes
from cellstrata.tasks.evaluation.gene_values import read_genes
from tests.tasks.elements.test_own_metadata import N, changed, consolidated, look, notices, put, put_in, restore
from tests.tasks.elements.test_own_metadata import folder as folder
from tests.tasks.small import CELLS, cache_at

VALUES = np.random.default_rng(0).integers(1, 1000, (N, 6))


def names(*genes: str) -> pd.DataFrame:
    return pd.DataFrame(index=pd.Index(genes, dtype=object))


def replace(folder: Path, **elements: Any) -> None:
    """Put other elements in the place of those there, `uns__a` for `uns/a`; the consolidated metadata stay."""
    before, root = consolidated(folder), changed(folder)
    for name, value in elements.items():
        path = name.replace("__", "/")
        if path in root:
            del root[path]
        put_in(root, path, value)
    restore(folder, before)


def gene(folder: Path, s3: str, name: str, older: list[str]) -> Any:
    with Opened.at(put(folder, f"{s3}/in.zarr")).root() as root:
        found = read_genes(root, [name])
        assert sorted(older_than(root)) == older
    return [one.values for one in found]


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize("dtype", [np.int32, np.float64])
def test_a_gene_of_an_x_of_another_type(folder: Path, s3: str, make: Any, dtype: type) -> None:
    replace(folder, X=make(VALUES[:, :2].astype(dtype)))
    np.testing.assert_array_equal(gene(folder, s3, "1", ["X"]), [VALUES[:, 1]])


def test_a_gene_that_came_with_a_wider_x(folder: Path, s3: str) -> None:
    replace(folder, X=VALUES.astype(np.float32), var=names(*"abcdef"))
    np.testing.assert_array_equal(gene(folder, s3, "e", ["X", "var"]), [VALUES[:, 4]])


def test_an_x_that_was_added_and_one_that_was_taken_away(folder: Path, s3: str) -> None:
    with_x = consolidated(folder)
    shutil.rmtree(folder / "X")
    assert gene(folder, f"{s3}/gone", "1", ["X"]) == []
    ad.AnnData(obs=names(*map(str, range(N))), var=names("0", "1")).write_zarr(folder.with_name("none.zarr"))
    none = folder.with_name("none.zarr")
    assert consolidated(none) != with_x
    replace(none, X=VALUES[:, :2].astype(np.float32))
    np.testing.assert_array_equal(gene(none, f"{s3}/added", "1", ["X"]), [VALUES[:, 1]])


def test_the_cache_keeps_what_is_there_now(folder: Path, s3: str, tmp_path: Path) -> None:
    replace(folder, X=VALUES[:, :2].astype(np.int32))
    source = GeneSource(Opened.at(put(folder, f"{s3}/in.zarr")), cache_at(tmp_path / "cache"))
    earlier = {key: value for key, value in source.state().items() if key != "metadata"}
    source.cache.write_record("gene", gene_key(earlier, "1"), {"gene": "1"}, {"values": np.zeros(N, np.float32)})
    for _ in range(2):
        with source.opened.root() as root:
            np.testing.assert_array_equal(kept_genes(root, ["1"], source)[0].values, VALUES[:, 1])


def test_the_notice_names_what_cells_are_colored_by(folder: Path, s3: str, tmp_path: Path) -> None:
    colored = {"obs__batch": np.arange(N), "uns__batch_colors": ["#000000"]}
    replace(folder, X=VALUES.astype(np.float32), var=names(*"abcdef"), **colored)
    colors = {"umap_colors": ["e", "batch"], "neighbors": {"use_rep": "X_scvi"}}
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, **colors)
    assert problems == []
    (notice,) = notices(found)
    assert notice.startswith("the consolidated metadata are older than obs/batch, uns/batch_colors, X, var, whose own")


def test_the_colors_of_categories_that_were_added(folder: Path, s3: str) -> None:
    replace(folder, uns__batch_colors=np.array(["#112233", "#445566"], dtype=object))
    with Opened.at(put(folder, f"{s3}/in.zarr")).root() as root:
        found = read_covariate(root, "batch")
    assert isinstance(found, Categories)
    assert found.colors == {"a": "#112233", "b": "#445566"}


def test_of_what_a_graph_was_built_is_told_by_the_variables_that_are_there(
    folder: Path, s3: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"hierarchy": 2}
    few, problems = look(put(folder, f"{s3}/few.zarr"), tmp_path, **settings)
    assert problems == []
    assert few is not None
    assert few.neighbors.embedding.use_rep == "X"
    wide = np.tile(VALUES, (1, 10)).astype(np.float32)
    replace(folder, X=wide, var=names(*map(str, range(60))), obsm__X_pca=CELLS)
    many, problems = look(put(folder, f"{s3}/many.zarr"), tmp_path, **settings)
    assert problems == []
    assert many is not None
    assert many.neighbors.embedding.use_rep == "X_pca"


def test_an_x_that_was_added_gives_a_pca(folder: Path, s3: str, tmp_path: Path) -> None:
    bare = folder.with_name("bare.zarr")
    ad.AnnData(obs=names(*map(str, range(N)))).write_zarr(bare)
    replace(bare, X=VALUES.astype(np.float32), var=names(*"abcdef"))
    found, problems = look(put(bare, f"{s3}/in.zarr"), tmp_path, recompute_neighbors=True)
    assert problems == []
    assert found is not None
    assert list(found.embeddings.values()) == [None]
    assert "older than X, whose own" in notices(found)[0]


def test_the_record_of_an_earlier_run_that_was_added(folder: Path, s3: str, tmp_path: Path) -> None:
    column = pd.Categorical(["0", "1"] * (N // 2))
    obs = pd.DataFrame({"leiden_0.5_2": column}, index=[f"c{i}" for i in range(N)])
    record = {"made_by": "cellstrata", "columns": '{"leiden_0.5_2": {}}'}
    replace(folder, obs=obs, uns__clustering=record)
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, neighbors={"use_rep": "X_scvi"})
    assert problems == []
    assert found is not None
    assert found.earlier_columns == {"leiden_0.5_2"}


def test_the_attributes_of_spatialdata_that_were_added(folder: Path, s3: str) -> None:
    replace(folder, uns__spatialdata_attrs={"region": "a", "region_key": "batch", "instance_key": "none"})
    with Opened.at(put(folder, f"{s3}/in.zarr")).root() as root:
        assert spatialdata_columns(root) == ("batch",)


def test_a_column_that_is_kept_is_the_one_that_is_there(folder: Path, s3: str, tmp_path: Path) -> None:
    obs = pd.DataFrame({"leiden_0.5_1": np.zeros(N, np.int32)}, index=[f"c{i}" for i in range(N)])
    replace(folder, obs=obs)
    zarr.consolidate_metadata(folder)
    replace(folder, **{"obs__leiden_0.5_1": pd.Categorical(["0", "1"] * (N // 2))})
    settings: dict[str, Any] = {"hierarchy": 2, "overwrite": False, "neighbors": {"use_rep": "X_scvi"}}
    found, problems = look(put(folder, f"{s3}/in.zarr"), tmp_path, **settings)
    assert problems == []
    assert found is not None
    assert found.kept_columns == {"leiden_0.5_1"}
    assert "obs/leiden_0.5_1" in notices(found)[0]
