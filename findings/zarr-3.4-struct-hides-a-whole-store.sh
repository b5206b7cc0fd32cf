#!/bin/sh
# anndata 0.13.4 with zarr 3.4.2 writes; zarr 3.1.6 and anndata 0.12.19 read (numpy 2.4.6, Python 3.12)
#
# zarr 3.4 names the type of records `struct` in the metadata of format 3, zarr 3.1 knows it as `structured`. scanpy keeps
# marker genes as records (`uns['rank_genes_groups']`), and anndata consolidates the metadata of what it writes: so zarr 3.1
# refuses the store as a whole, when it is opened, and not the records alone. Neither obs nor obsm can be read; the error
# names no element. Without the consolidated metadata all but the records can be read. Our guess was that an older zarr
# opens the store and fails on the records.
#
# Output seen:
#   written by zarr 3.4.2: data type struct
#   zarr 3.1.6, as it is: ValueError
#   zarr 3.1.6, without consolidated metadata: X_pca (10, 3) float32, records ValueError
#   anndata 0.12.19: ValueError
#
# Exits with 1 if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/write.py" <<'PYTHON'
import json
import sys
import warnings

warnings.simplefilter("ignore")
import anndata
import numpy as np
import zarr

records = np.array([("a", "b")] * 4, dtype=[("0", "U8"), ("1", "U8")])
adata = anndata.AnnData(np.ones((10, 2), np.float32), obsm={"X_pca": np.ones((10, 3), np.float32)})
adata.uns["rank_genes_groups"] = {"names": records}
adata.write_zarr(sys.argv[1])
with open(f"{sys.argv[1]}/uns/rank_genes_groups/names/zarr.json") as file:
    print(f"written by zarr {zarr.__version__}: data type {json.load(file)['data_type']['name']}")
PYTHON
cat > "$folder/read.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import anndata
import zarr


def said(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__


def shape(root):
    return f"X_pca {root['obsm/X_pca'].shape} {root['obsm/X_pca'].dtype}"


version = zarr.__version__
print(f"zarr {version}, as it is:", said(lambda: shape(zarr.open_group(sys.argv[1], mode="r"))))
root = zarr.open_group(sys.argv[1], mode="r", use_consolidated=False)
records = said(lambda: root["uns/rank_genes_groups/names"][:])
print(f"zarr {version}, without consolidated metadata: {shape(root)}, records {records}")
print("anndata 0.12.19:", said(lambda: anndata.read_zarr(sys.argv[1])))
PYTHON
for name in new old; do python3 -m venv "$folder/$name"; done
"$folder/new/bin/pip" install --quiet --disable-pip-version-check anndata==0.13.4 zarr==3.4.2 numpy==2.4.6
"$folder/old/bin/pip" install --quiet --disable-pip-version-check anndata==0.12.19 zarr==3.1.6 numpy==2.4.6
{
  "$folder/new/bin/python" "$folder/write.py" "$folder/made.zarr"
  "$folder/old/bin/python" "$folder/read.py" "$folder/made.zarr"
} > "$folder/seen"
cat "$folder/seen"
cat > "$folder/expected" <<'TEXT'
written by zarr 3.4.2: data type struct
zarr 3.1.6, as it is: ValueError
zarr 3.1.6, without consolidated metadata: X_pca (10, 3) float32, records ValueError
anndata 0.12.19: ValueError
TEXT
diff "$folder/expected" "$folder/seen"
