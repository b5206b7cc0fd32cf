"""Write the AnnData files of this folder: the same 42 cells, as each anndata in turn stored them.

Each was written once, by the Python and the packages of its row, and stays as it is: what it is good
for is that nothing newer had a hand in it. This makes one (in a folder of the checkout):

    python3.11 -m venv old
    old/bin/pip install <the packages of the row>
    old/bin/python tests/tasks/elements/old_files/make.py tests/tasks/elements/old_files

anndata       Python  packages
0.6.22.post1  3.7     anndata==0.6.22.post1 numpy==1.17.5 pandas==0.25.3 scipy==1.4.1 h5py==2.9.0 "natsort<8.4"
0.7.8         3.8     anndata==0.7.8 numpy==1.21.6 pandas==1.3.5 scipy==1.7.3 h5py==3.6.0
0.8.0         3.11    anndata==0.8.0 numpy==1.23.5 pandas==1.5.3 scipy==1.10.1 h5py==3.8.0
                      zarr==2.13.6 "numcodecs<0.12"
0.9.2         3.11    anndata==0.9.2 numpy==1.24.4 pandas==1.5.3 scipy==1.10.1 h5py==3.9.0
0.10.9        3.11    anndata==0.10.9 numpy==1.26.4 pandas==2.2.3 scipy==1.13.1 h5py==3.11.0
0.11.4        3.11    anndata==0.11.4 numpy==2.1.3 pandas==2.2.3 scipy==1.14.1 h5py==3.12.1
                      zarr==2.18.7 "numcodecs<0.16"
0.12.19       3.11    anndata==0.12.19 numpy==2.4.6 pandas==2.3.3 scipy==1.17.1 h5py==3.16.0 zarr==3.1.6

The h5ad files are gzipped; where zarr 2 is installed, a zarr (format 2) is written too, in a zip file.
`uns["made_with"]` names the versions. All numbers are rounded: every file holds the same ones.

What differs is what a version could store. Before 0.8 it is what scanpy before 1.5 left: the graph in
uns (0.7 itself moves it to obsp, with no `connectivities_key`), no `use_rep`. In 0.7 `raw` is dense. From
0.8 on: nullable columns, a dataframe in obsm. From 0.11 on: nullable strings. In 0.12: None in
uns, which was dropped before.
"""

import gzip
import os
import platform
import sys
import tempfile
import warnings
import zipfile

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy
import scipy.sparse as sp

warnings.simplefilter("ignore")
VERSION = tuple(int(part) for part in ad.__version__.split(".")[:2])
STRINGS = {"convert_strings_to_categoricals": False} if VERSION >= (0, 11) else {}
SIZES, GENES, N_NEIGHBORS = (16, 14, 12), 5, 6
N = sum(SIZES)


def embedding(groups, random):
    """Return three clouds far from one another, 4 dimensions."""
    centres = np.array([[0, 0, 0, 0], [30, 0, 0, 0], [0, 30, 0, 0]])
    return np.round(centres[groups] + random.normal(size=(N, 4)), 2)


def graph(cells):
    """Return the distances to the nearest neighbours, and symmetric weights, both (n, n) CSR."""
    between = np.round(np.sqrt(((cells[:, None] - cells[None]) ** 2).sum(2)), 4)
    nearest = np.argsort(between, axis=1, kind="mergesort")[:, 1:N_NEIGHBORS]
    rows = np.repeat(np.arange(N), N_NEIGHBORS - 1)
    values = between[rows, nearest.ravel()]
    distances = sp.csr_matrix((values, (rows, nearest.ravel())), shape=(N, N))
    weights = sp.csr_matrix((np.round(1 / (1 + values), 4), distances.indices, distances.indptr), shape=(N, N))
    return distances, weights.maximum(weights.T).tocsr().astype(np.float32)


def obs_table(groups, random):
    """Return a column of every kind that the version can store."""
    columns = {
        "group": pd.Categorical(np.array(["001", "01", "1"])[groups], categories=["1", "001", "01", "unused"]),
        "grade": pd.Categorical(["low", None, "high"] * (N // 3), categories=["low", "high"], ordered=True),
        "number": pd.Categorical([30, 10, 20] * (N // 3)),
        "text": [f"höhe {i}" for i in range(N)],
        "n_counts": random.randint(0, 9999, N),
        "small": random.randint(-9, 9, N).astype(np.int8),
        "percent": np.where(np.arange(N) % 5 == 0, np.nan, np.round(random.uniform(size=N), 3)),
        "doublet": np.arange(N) % 3 == 0,
    }
    if VERSION >= (0, 8):
        columns["maybe_int"] = pd.array([None, *range(N - 1)], dtype="Int32")
        columns["maybe_bool"] = pd.array([None, *([True, False] * N)[: N - 1]], dtype="boolean")
    if VERSION >= (0, 11):
        columns["maybe_text"] = pd.array([None, *(f"g{i}" for i in range(N - 1))], dtype="string")
    return pd.DataFrame(columns, index=[f"cell-{i:02d}" for i in range(N)])


def ranked(random):
    """Return what scanpy's rank_genes_groups leaves: records with a field for each group."""
    fields = ["001", "01", "1"]
    names = np.empty(2, dtype=[(name, "U50" if VERSION < (0, 7) else "O") for name in fields])
    scores = np.empty(2, dtype=[(name, "f4") for name in fields])
    for name in fields:
        names[name], scores[name] = ["gene-0", "gene-3"], np.round(random.normal(size=2), 2)
    return {
        "params": {"groupby": "group", "use_raw": True},
        "names": names.view(np.recarray),
        "scores": scores.view(np.recarray),
    }


def made_with():
    """Return the versions of what writes."""
    packages = [("numpy", np), ("pandas", pd), ("scipy", scipy), ("h5py", h5py)]
    others = ", ".join(f"{name} {package.__version__}" for name, package in packages)
    return {"anndata": ad.__version__, "others": f"Python {platform.python_version()}, {others}"}


def table():
    """Return the AnnData."""
    random = np.random.RandomState(0)
    groups = random.permutation(np.repeat([0, 1, 2], SIZES))
    cells = embedding(groups, random)
    distances, weights = graph(cells.astype(np.float32).astype(np.float64))
    counts = sp.csr_matrix(random.poisson(0.7, (N, GENES)).astype(np.float32))
    genes = [f"gene-{i}" for i in range(GENES)]
    var = pd.DataFrame({"kind": pd.Categorical(["a", "b", "a", "a", "b"]), "mean": np.arange(GENES) / 4}, index=genes)
    renamed = var.assign(kind=var["kind"].cat.rename_categories(["x", "y"]))
    whole = ad.AnnData(counts, pd.DataFrame(index=[f"cell-{i:02d}" for i in range(N)]), var)
    adata = ad.AnnData(counts.copy(), obs_table(groups, random), renamed)
    adata.raw = whole
    adata.layers["dense"] = np.round(random.normal(size=(N, GENES)), 2)
    adata.obsm["X_pca"] = cells.astype(np.float32)
    adata.obsm["X_latent"] = np.round(cells[:, ::-1] / 3, 3)
    adata.obsm["X_umap"] = cells[:, :2].astype(np.float32)
    adata.varm["PCs"] = np.round(random.normal(size=(GENES, 4)), 3)
    params = {"n_neighbors": N_NEIGHBORS, "method": "umap", "random_state": 0, "metric": "euclidean"}
    adata.uns["made_with"] = made_with()
    adata.uns["rank_genes_groups"] = ranked(random)
    adata.uns["log1p"] = {"base": None}
    adata.uns["group_colors"] = np.array(["#1f77b4", "#ff7f0e", "#279e68", "#d62728"], dtype=object)
    adata.uns["nested"] = {"deep": {"deeper": {"real": 0.25, "word": "höhe", "flags": np.array([True, False])}}}
    if VERSION < (0, 8):
        adata.uns["neighbors"] = {"params": params, "distances": distances, "connectivities": weights}
        return adata
    adata.obsm["frame"] = pd.DataFrame({"a": np.arange(N), "b": np.linspace(0, 1, N)}, index=adata.obs_names)
    adata.obsp["distances"], adata.obsp["connectivities"] = distances, weights
    keys = {"connectivities_key": "connectivities", "distances_key": "distances"}
    adata.uns["neighbors"] = dict(keys, params=dict(params, use_rep="X_pca"))
    return adata


def write_packed_h5ad(adata, target):
    """Write an h5ad and pack it: nine tenths of so small a file are empty room."""
    options = {"as_dense": ["raw/X"]} if VERSION == (0, 7) else STRINGS
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.h5ad")
        adata.write(path, compression="gzip", **options)
        with open(path, "rb") as file, open(target, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, 0) as packed:
            packed.write(file.read())


def write_packed_zarr(adata, target):
    """Write a zarr and pack it, its entries in order and without a date."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(target, "w") as packed:
        adata.write_zarr(folder, **STRINGS)
        paths = [os.path.join(inside, name) for inside, _, names in os.walk(folder) for name in names]
        for path in sorted(paths):
            with open(path, "rb") as file:
                entry = zipfile.ZipInfo(os.path.relpath(path, folder))
                packed.writestr(entry, file.read(), zipfile.ZIP_DEFLATED)


def main(folder):
    """Write what the anndata at hand can write."""
    if VERSION >= (0, 11):
        ad.settings.allow_write_nullable_strings = True
    target = os.path.join(folder, f"anndata_{ad.__version__}")
    write_packed_h5ad(table(), target + ".h5ad.gz")
    try:
        import zarr
    except ImportError:
        return
    if zarr.__version__.startswith("2."):
        write_packed_zarr(table(), target + ".zarr.zip")


if __name__ == "__main__":
    main(sys.argv[1])
