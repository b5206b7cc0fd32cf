"""An X of None, which anndata 0.12.0 stores as an element that is `null`: it is no X."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.elements.opening import open_anndata
from cellstrata.tasks.elements.reading import InputError, has_x, read_x
from cellstrata.tasks.evaluation.gene_values import read_genes
from cellstrata.tasks.inputs.inspection import inspect_input
from cellstrata.tasks.stores.places import Place
from tests.tasks.small import cache_at

NULL = {"encoding-type": "null", "encoding-version": "0.1.0"}


def without_x(folder: Path, form: str) -> str:
    """A file with an embedding of another name than X_pca, and an X that is null, or has no columns."""
    table = ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(30)]))
    table.obsm["X_latent"] = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    path = str(folder / f"in.{form.split()[0]}")
    if form.startswith("h5ad"):
        table.write_h5ad(path)
        with h5py.File(path, "a") as file:
            if "X" in file:
                del file["X"]
            empty = h5py.Empty("f4") if form == "h5ad null" else np.zeros((30, 0), np.float32)
            file.create_dataset("X", data=empty).attrs.update(NULL if form == "h5ad null" else {})
    else:
        table.write_zarr(path)
        group = zarr.open_group(path, mode="a", use_consolidated=False)
        group.create_array("X", shape=(), dtype="?", overwrite=True).attrs.update(NULL)
    return path


@pytest.mark.parametrize("form", ["h5ad null", "h5ad no columns", "zarr null"])
def test_no_pca_is_made_of_it_and_the_embeddings_that_are_there_are_named(tmp_path: Path, form: str) -> None:
    path = without_x(tmp_path, form)
    config = ClusteringConfig(algorithm="leiden", resolutions=[0.5])
    found, problems = inspect_input("d", "f", Place(path), config, str(tmp_path / "out"), cache_at(tmp_path / "cache"))
    assert found is None
    (problem,) = problems
    assert "obsm['X_pca']: there is no such embedding; it has X_latent" in str(problem)
    with open_anndata(Place(path)) as root:
        assert not has_x(root)
        assert read_genes(root, ["g"]) == []
        with pytest.raises(InputError, match="X: is missing or empty"):
            read_x(root)
