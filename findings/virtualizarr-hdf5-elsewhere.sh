#!/bin/sh
# virtualizarr 2.5.1, h5py 3.16.0, zarr 3.1.6 (Python 3.11)
#
# An HDF5 dataset's numbers need not lie in chunks of its file: a virtual dataset shows parts of others, an external
# one lies in a raw file, a compact one in the object's header. h5py reads all three. `HDFParser` takes them for
# datasets of which nothing was written: the array that it gives reads as the fill value everywhere, with no
# error and no warning. (Of the compact ones VirtualiZarr's issue 527 tells.)
#
# Output seen:
#   contiguous  h5py [1. 2. 3.]  virtualizarr [1. 2. 3.]
#   virtual     h5py [1. 2. 3.]  virtualizarr [0. 0. 0.]
#   external    h5py [1. 2. 3.]  virtualizarr [0. 0. 0.]
#   compact     h5py [1. 2. 3.]  virtualizarr [0. 0. 0.]
#   warnings: 0
#
# Exits with 1 if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check virtualizarr==2.5.1 h5py==3.16.0 zarr==3.1.6
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings

import h5py
import numpy as np
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr.parsers import HDFParser

folder = sys.argv[1]
path = f"{folder}/data.h5"
numbers = np.array([1.0, 2.0, 3.0])
numbers.tofile(f"{folder}/data.raw")
with h5py.File(path, "w") as file:
    file["contiguous"] = numbers
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(file["contiguous"])
    file.create_virtual_dataset("virtual", layout)
    file.create_dataset("external", (3,), "f8", external=[(f"{folder}/data.raw", 0, 24)])
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((3,))
    h5py.Dataset(h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F64LE, space, made))[...] = numbers

found = {}
with warnings.catch_warnings(record=True) as warned, h5py.File(path) as file:
    warnings.simplefilter("always")
    store = HDFParser()(url=f"file://{path}", registry=ObjectStoreRegistry({"file://": LocalStore()}))
    group = zarr.open_group(store, mode="r", zarr_format=3)
    for name in ("contiguous", "virtual", "external", "compact"):
        found[name] = (file[name][:], group[name][:])
for name, (real, given) in found.items():
    print(f"{name:11} h5py {real}  virtualizarr {given}")
about = [w for w in warned if "HDF" in str(w.message) or "dataset" in str(w.message)]
print("warnings:", len(about))
right = [np.array_equal(*pair) for pair in found.values()]
zeros = all(not given.any() for name, (_, given) in found.items() if name != "contiguous")
sys.exit(right != [True, False, False, False] or not zeros or bool(about))
PYTHON
"$folder/venv/bin/python" "$folder/show.py" "$folder"
