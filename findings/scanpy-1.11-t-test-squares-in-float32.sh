#!/bin/sh
# scanpy 1.11.5, anndata 0.12.6, numpy 2.3.5 (Python 3.11)
#
# `rank_genes_groups(method="t-test")` squares values in the type they are stored in. The same numbers stored as float32
# and as float64 (each float32 is one of the float64 numbers) give other t statistics in small clusters whose values lie
# close together: a variance is a small difference of large squares. One would expect means and variances in float64
# whatever the type of storage, since the sums are float64.
# Our guess was that the scores agree to 1e-6.
#
# Output seen (clusters of three cells whose logarithms differ by about 0.02):
#   largest difference of t, relative: sparse 7.4e-05 dense 7.4e-05
#   sparse float32 differs from sparse float64 by more than 1e-5: True
#   dense float32 differs from dense float64 by more than 1e-5: True
#
# Exits with 1 if one of the two answers changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check scanpy==1.11.5 anndata==0.12.6 numpy==2.3.5 \
    "scikit-learn<1.9" "pynndescent<0.7"
cat > "$folder/show.py" <<'PYTHON'
import warnings

warnings.simplefilter("ignore")
import anndata
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp

rng = np.random.default_rng(0)
values = (3 + 0.02 * rng.random((60, 200))).astype(np.float32)
values[3:] += rng.random((57, 200)).astype(np.float32)
obs = pd.DataFrame({"cluster": pd.Categorical(["small"] * 3 + ["large"] * 57)}, index=[f"c{i}" for i in range(60)])


def scores(matrix):
    data = anndata.AnnData(matrix, obs=obs.copy())
    scanpy.tl.rank_genes_groups(data, "cluster", method="t-test", n_genes=200)
    found = data.uns["rank_genes_groups"]
    return dict(zip(found["names"]["small"], found["scores"]["small"].astype(float)))


def apart(make):
    one, other = scores(make(values)), scores(make(values.astype(np.float64)))
    return max(abs(one[gene] - other[gene]) / abs(other[gene]) for gene in one)


sparse, dense = apart(sp.csr_matrix), apart(np.asarray)
print(f"largest difference of t, relative: sparse {sparse:.1e} dense {dense:.1e}")
answers = [("sparse", sparse > 1e-5, True), ("dense", dense > 1e-5, True)]
for what, is_so, seen in answers:
    print(f"{what} float32 differs from {what} float64 by more than 1e-5: {is_so}")
raise SystemExit(any(is_so != seen for _, is_so, seen in answers))
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
