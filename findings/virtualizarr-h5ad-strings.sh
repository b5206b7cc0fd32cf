#!/bin/sh
# virtualizarr 2.5.1, h5py 3.16.0, zarr 3.1.6 (Python 3.11)
#
# `HDFParser` cannot open an HDF5 file that holds a string of variable length, and every h5ad does (the names of cells
# and genes): parsing ends in an AttributeError that names neither dataset nor reason. `drop_variables`, which leaves
# variables out, helps only for those in the root group: it is not handed on to the groups below, and in an h5ad
# no string lies in the root. What is left is `group=`, for a group whose whole tree holds no such string.
#
# Output seen:
#   string in the root, nothing dropped        AttributeError: 'bytes' object has no attribute 'item'
#   string in the root, dropped                opened
#   string in a group, dropped                 AttributeError: 'bytes' object has no attribute 'item'
#   numbers in the file: the group `obsm`      opened
#
# Exits with 1 if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check virtualizarr==2.5.1 h5py==3.16.0 zarr==3.1.6
cat > "$folder/show.py" <<'PYTHON'
import sys

import h5py
import numpy as np
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr.parsers import HDFParser

folder = sys.argv[1]
with h5py.File(f"{folder}/root.h5", "w") as file:
    file["names"] = ["AAACCT", "AAACGG"]
    file["numbers"] = np.arange(2.0)
with h5py.File(f"{folder}/group.h5", "w") as file:  # the layout of an h5ad
    file["obs/_index"] = ["AAACCT", "AAACGG"]
    file["obsm/X_pca"] = np.arange(4.0).reshape(2, 2)


def said(name, **options):
    try:
        HDFParser(**options)(url=f"file://{folder}/{name}", registry=ObjectStoreRegistry({"file://": LocalStore()}))
    except Exception as caught:
        return f"{type(caught).__name__}: {caught}"
    return "opened"


found = {
    "string in the root, nothing dropped": said("root.h5"),
    "string in the root, dropped": said("root.h5", drop_variables=["names"]),
    "string in a group, dropped": said("group.h5", drop_variables=["_index", "obs/_index"]),
    "numbers in the file: the group `obsm`": said("group.h5", group="obsm"),
}
for name, text in found.items():
    print(f"{name:42} {text}")
fails = "AttributeError: 'bytes' object has no attribute 'item'"
sys.exit(list(found.values()) != [fails, "opened", fails, "opened"])
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/show.py" "$folder"
