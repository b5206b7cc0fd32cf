"""An h5ad for CELLxGENE and other viewers, in which its schema, version 7.1, finds nothing of ours to object to.

https://github.com/chanzuckerberg/single-cell-curation/tree/main/schema: labels are categoricals of text without unused
categories, `uns['<column>_colors']` has as many `#rrggbb` as the column has categories, and stands for a column that
is there; an embedding begins with `X_`. What the schema asks of the data, as terms of ontologies, is the user's.
"""

from __future__ import annotations

from cellstrata.configs.errors import listed
from cellstrata.tasks.exports.anndata_file import write_anndata
from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported
from cellstrata.tasks.stores.places import Place

MOST_NAMES = 8


def _write(found: Exported, place: Place) -> Written:
    columns = write_anndata(found, place)
    return Written(f"all that the result holds, and {listed(columns, MOST_NAMES)}")


FORMAT = Format((".h5ad",), "an AnnData for CELLxGENE and other viewers", _write)
