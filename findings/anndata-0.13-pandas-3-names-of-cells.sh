#!/bin/sh
# anndata 0.13.4 with pandas 3.0.0 and with pandas 2.3.3 (numpy 2.3.5, Python 3.12 or later); read by anndata 0.10.9
#
# The same AnnData, with plain text as names of cells and as a column of obs, is stored in another way when pandas 3 is
# installed: names and column become `nullable-string-array`, with no missing value in them. anndata 0.10 cannot read
# the file. Categories of a categorical column stay `string-array`. No warning is given.
# Our guess was that names of cells are stored as `string-array` whatever pandas is installed, since they cannot be
# missing, and since a file of plain text was readable everywhere before.
#
# Output seen:
#   pandas 2.3.3: names string-array, categories string-array, text string-array
#     read by anndata 0.10.9: True
#   pandas 3.0.0: names nullable-string-array, categories string-array, text nullable-string-array
#     read by anndata 0.10.9: False
#
# Exits with 1 if one of these lines changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {
    python3 -m venv "$folder/$1"
    name=$1
    shift
    "$folder/$name/bin/pip" install -q --disable-pip-version-check "$@"
}
install two anndata==0.13.4 pandas==2.3.3 numpy==2.3.5
install three anndata==0.13.4 pandas==3.0.0 numpy==2.3.5
install old anndata==0.10.9 "pandas<2.3" "numpy<2.3"
cat > "$folder/write.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import anndata
import h5py
import numpy as np
import pandas as pd

obs = pd.DataFrame({"cluster": pd.Categorical(["a", "b", "a"]), "text": ["x", "y", "z"]}, index=["q", "w", "e"])
anndata.AnnData(np.ones((3, 2), np.float32), obs=obs).write_h5ad(sys.argv[1])
with h5py.File(sys.argv[1]) as file:
    kinds = [file[f"obs/{name}"].attrs["encoding-type"] for name in ("_index", "cluster/categories", "text")]
print("pandas {}: names {}, categories {}, text {}".format(pd.__version__, *kinds))
PYTHON
cat > "$folder/read.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import anndata

try:
    anndata.read_h5ad(sys.argv[1])
    said = True
except Exception:
    said = False
print(f"  read by anndata {anndata.__version__}: {said}")
PYTHON
for each in two three; do
    "$folder/$each/bin/python" "$folder/write.py" "$folder/$each.h5ad"
    "$folder/old/bin/python" "$folder/read.py" "$folder/$each.h5ad"
done > "$folder/seen"
cat "$folder/seen"
sed -n 's/^#   \(  \)\{0,1\}\(pandas\|read by\)/\1\2/p' "$0" | diff - "$folder/seen" > /dev/null
