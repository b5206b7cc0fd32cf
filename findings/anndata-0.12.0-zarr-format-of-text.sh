#!/bin/sh
# anndata 0.12.0 and 0.12.2, zarr 3.1.3, numpy 2.3.5, pandas 2.3.3 (Python 3.11)
#
# `write_elem` of anndata 0.12.0 takes the codec of text from `anndata.settings.zarr_write_format` (2 by default) and not
# from the group that it writes to. Into a group of zarr format 3 no text can be written, a single one neither, while
# numbers can: an error about codecs that names no element. With the setting at 3 it is the other way
# round. 0.12.2 goes by the group. Our guess was that every 0.12 writes both.
#
# Output seen:
#   0.12.0  setting 2  group of format 2  text written, numbers written
#   0.12.0  setting 2  group of format 3  text TypeError, numbers written
#   0.12.0  setting 3  group of format 2  text ValueError, numbers written
#   0.12.0  setting 3  group of format 3  text written, numbers written
#   0.12.2  setting 2  group of format 2  text written, numbers written
#   0.12.2  setting 2  group of format 3  text written, numbers written
#   0.12.2  setting 3  group of format 2  text written, numbers written
#   0.12.2  setting 3  group of format 3  text written, numbers written
#
# Exits with 1 if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings

warnings.simplefilter("ignore")
import anndata
import numpy as np
import zarr
from anndata.io import write_elem


def said(group, name, value):
    try:
        write_elem(group, name, value)
    except Exception as error:
        return type(error).__name__
    return "written"


for setting in (2, 3):
    anndata.settings.zarr_write_format = setting
    for form in (2, 3):
        group = zarr.open_group(f"{sys.argv[1]}/{anndata.__version__}-{setting}-{form}.zarr", mode="w", zarr_format=form)
        text, numbers = said(group, "text", "blood"), said(group, "numbers", np.arange(2.0))
        print(f"{anndata.__version__}  setting {setting}  group of format {form}  text {text}, numbers {numbers}")
PYTHON
for version in 0.12.0 0.12.2; do
  "$folder/venv/bin/pip" install -q --disable-pip-version-check "anndata==$version" zarr==3.1.3 numpy==2.3.5 pandas==2.3.3
  "$folder/venv/bin/python" -W ignore "$folder/show.py" "$folder" 2>/dev/null
done | tee "$folder/seen"
sed -n 's/^#   \(0\.12.*\)/\1/p' "$0" > "$folder/expected"
diff "$folder/expected" "$folder/seen"
