"""Small matrices of expression in files of every form, results among them, for the tests of markers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from cellstrata.tasks.elements.reading import open_anndata
from cellstrata.tasks.expression.source import Expression, find_expression
from cellstrata.tasks.stores.places import Place
from tests.tasks.everything import save

MATRICES = ("csr", "csc", "dense")
KINDS = ("csr", "csc", "dense", "rows", "columns")  # those, and dense ones stored by rows and by columns


def counts(n: int = 300, genes: int = 40, clusters: int = 4, seed: int = 0) -> tuple[npt.NDArray[Any], Any]:
    """Return whole numbers, cells × genes float32, most of them zero, and the cluster of each cell, int32."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, clusters, n).astype(np.int32)
    rates = rng.gamma(0.5, 1, (clusters, genes))
    found = rng.poisson(rates[codes] * rng.lognormal(0, 0.5, n)[:, None]).astype(np.float32)
    found[:, 0] += 1  # no cell is empty
    return found, codes


def logs(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return counts as scanpy normalizes them, float32."""
    import scanpy as sc

    made = ad.AnnData(sp.csr_matrix(values.astype(np.float32)))
    sc.pp.normalize_total(made, target_sum=1e4)
    sc.pp.log1p(made)
    return np.asarray(made.X.toarray())


def stored(values: npt.NDArray[Any], form: str) -> Any:
    """Return values as CSR, CSC or dense."""
    return {"csr": sp.csr_matrix, "csc": sp.csc_matrix}.get(form, np.asarray)(values)


def frame(names: list[str]) -> pd.DataFrame:
    """Return a frame without columns."""
    return pd.DataFrame(index=pd.Index(names, dtype=object))


def atlas(x: Any, obs: Mapping[str, Any] | None = None, **more: Any) -> ad.AnnData:
    """Return an AnnData with these values, cells `c0` … and genes `g0` …"""
    shape = x.shape if x is not None else more.pop("shape")
    cells = frame([f"c{i}" for i in range(shape[0])]).assign(**dict(obs or {}))
    return ad.AnnData(x, obs=cells, var=frame([f"g{i}" for i in range(shape[1])]), **more)


def tree(columns: Mapping[str, Mapping[str, str]], sizes: Mapping[str, Mapping[str, int]] | None = None) -> Any:
    """Return `uns['clustering']` of a result with these columns: the parent of each cluster, by its label."""
    rows = [
        {
            "column": name, "cluster": label, "parent": parent, "level": label.count("_") + 1,
            "n_cells": (sizes or {}).get(name, {}).get(label, 0), "n_children": 0, "reason": "last level",
            "resolution": 1.0, "n_neighbors": 15, "embedding": "X_pca", "metric": "euclidean", "modularity": np.nan,
            "engine": "", "key": "", "seconds": np.nan,
        }
        for name, clusters in columns.items()
        for label, parent in clusters.items()
    ]  # fmt: skip
    return {
        "made_by": "cellstrata",
        "columns": "{}",
        "tree": pd.DataFrame(rows, index=[str(i) for i in range(len(rows))]),
    }


def labelled(name: str, labels: list[str | None]) -> dict[str, Any]:
    """Return an obs column of labels, their categories in natural order."""
    there = sorted({label for label in labels if label is not None}, key=lambda text: [int(p) for p in text.split("_")])
    return {name: pd.Categorical(labels, categories=there)}


def written(folder: Path, values: npt.NDArray[Any], form: str, kind: str) -> str:
    """Write values as X in stored chunks of a few, so that rows and columns cross their borders; return the path.

    `form` is `h5ad`, `zarr2` or `zarr3`, `kind` one of `KINDS`.
    """
    path = save(atlas(stored(values, kind)), folder, form)
    if form == "h5ad":
        with h5py.File(path, "r+") as file:
            _in_chunks(file, kind)
    return path


def _in_chunks(file: Any, kind: str) -> None:
    if kind in ("csr", "csc"):
        for name in ("data", "indices"):
            old, attrs = file["X"][name][()], dict(file["X"][name].attrs)
            del file["X"][name]
            file["X"].create_dataset(name, data=old, chunks=(17,), compression="gzip").attrs.update(attrs)
        return
    old, attrs = file["X"][()], dict(file["X"].attrs)
    del file["X"]
    chunks = {"dense": (7, 9), "rows": (5, old.shape[1]), "columns": (old.shape[0], 3)}[kind]
    file.create_dataset("X", data=old, chunks=chunks).attrs.update(attrs)


@contextlib.contextmanager
def expression_in(path: str, **which: Any) -> Iterator[Expression]:
    """Open a file and find its expression."""
    with open_anndata(Place(path)) as root:
        yield find_expression(root, **which)
