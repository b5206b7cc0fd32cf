#!/bin/sh
# scanpy 1.12.4 with anndata 0.13.4, scanpy 1.11.5 with anndata 0.12.19 (Python 3.12 or later)
#
# `rank_genes_groups(pts=True)` keeps the shares of cells in a DataFrame whose columns are the groups. Names of cell
# types often have a slash ("CD4+/CD25 T Reg"), also in the data that scanpy bundles. anndata 0.13 refuses such a
# column: the AnnData can no longer be written as h5ad, and with neither as zarr. The error comes when the file is
# written, not when the test is made; without `pts` the same data are written.
# Our guess was that what scanpy makes of its own bundled data can be written in both formats.
#
# Output seen:
#   scanpy 1.11.5, anndata 0.12.19: h5ad True, zarr False, h5ad without pts True
#   scanpy 1.12.4, anndata 0.13.4: h5ad False, zarr False, h5ad without pts True
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
import scanpy

folder = sys.argv[1]
data = scanpy.datasets.pbmc68k_reduced()


def written(how, path, *, pts=True):
    scanpy.tl.rank_genes_groups(data, "bulk_labels", method="t-test", pts=pts)
    try:
        getattr(data, how)(f"{folder}/{path}")
    except ValueError:
        return False
    return True


found = (written("write_h5ad", "a.h5ad"), written("write_zarr", "a.zarr"), written("write_h5ad", "b.h5ad", pts=False))
print("scanpy {}, anndata {}:".format(version("scanpy"), version("anndata")), end=" ")
print("h5ad {}, zarr {}, h5ad without pts {}".format(*found))
PYTHON
for each in "1.11.5 0.12.19" "1.12.4 0.13.4"; do
    set -- $each
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install -q --disable-pip-version-check "scanpy==$1" "anndata==$2" "scikit-learn<1.9" \
        "pynndescent<0.8"
    mkdir "$folder/out$1"
    "$folder/$1/bin/python" "$folder/show.py" "$folder/out$1"
done > "$folder/seen"
cat "$folder/seen"
sed -n 's/^#   scanpy/scanpy/p' "$0" | diff - "$folder/seen" > /dev/null
