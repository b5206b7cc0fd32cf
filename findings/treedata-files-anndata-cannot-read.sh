#!/bin/sh
# treedata 0.3.0 with anndata 0.12.19, treedata 0.4.0 with anndata 0.13.4 (Python 3.12 or later)
#
# A TreeData is an AnnData with trees, a subclass. What it writes, h5td (HDF5) as well as zarr, anndata cannot read, with
# or without the trees: the root's encoding is `treedata`, which anndata does not know. So a file that is to go to people
# who have anndata alone has to be written a second time, without trees.
# Our guess was that anndata reads all but the trees, as it reads past entries of others in a root that it knows.
#
# Output seen:
#   treedata 0.3.0, anndata 0.12.19: h5td (3, 2), zarr (3, 2); by anndata: h5td IORegistryError, zarr IORegistryError
#   treedata 0.4.0, anndata 0.13.4: h5td (3, 2), zarr (3, 2); by anndata: h5td IORegistryError, zarr IORegistryError
#
# Exits with 1 if one of these lines changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import anndata
import networkx as nx
import numpy as np
import pandas as pd
import treedata

folder = sys.argv[1]
tree = nx.DiGraph([("all", "a"), ("all", "b"), ("a", "c0"), ("a", "c1"), ("b", "c2")])
obs = pd.DataFrame(index=["c0", "c1", "c2"])
data = treedata.TreeData(X=np.ones((3, 2), np.float32), obs=obs, obst={"t": tree}, label=None)
data.write_h5td(f"{folder}/a.h5td")
data.write_zarr(f"{folder}/a.zarr")


def said(read, path):
    try:
        return str(read(f"{folder}/{path}").shape)
    except Exception as error:
        return type(error).__name__


print("treedata {}, anndata {}:".format(version("treedata"), version("anndata")), end=" ")
print("h5td {}, zarr {};".format(said(treedata.read_h5td, "a.h5td"), said(treedata.read_zarr, "a.zarr")), end=" ")
print("by anndata: h5td {}, zarr {}".format(said(anndata.read_h5ad, "a.h5td"), said(anndata.read_zarr, "a.zarr")))
PYTHON
for each in "0.3.0 0.12.19" "0.4.0 0.13.4"; do
    set -- $each
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q --disable-pip-version-check "treedata==$1" "anndata==$2"
    mkdir "$folder/out$1"
    "$folder/$1/bin/python" "$folder/show.py" "$folder/out$1"
done > "$folder/seen"
cat "$folder/seen"
sed -n 's/^#   treedata/treedata/p' "$0" | diff - "$folder/seen" > /dev/null
