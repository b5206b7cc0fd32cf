"""The labels beside a result, as one parquet file that needs no AnnData to be read."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.publishing.parquet_metadata import metadata_of
from cellstrata.tasks.stores.places import Place

INDEX_NAME = "obs_name"
KEY = b"publish_key"  # in the metadata of the schema


def write_labels_parquet(
    place: Place,
    obs_names: np.ndarray,
    obs: Mapping[str, object],
    *,
    index_name: str | None = None,
    key: str = "",
) -> int:
    """Write columns by cell name to one parquet file, atomically; return its bytes.

    `obs_names` is an array of n str (duplicates are kept), each column has length n: a categorical of
    strings, stored as a dictionary of strings with its categories, order and all, or another pandas or
    NumPy array. The index is called `index_name`, else `obs_name`. `key` is found by `has_key`.

    Raises
    ------
    ValueError
        If a column has another length, or a cell has no name.
    """
    with IMPORTING:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

    if pd.isna(np.asarray(obs_names, dtype=object)).any():
        raise ValueError("a cell without a name cannot be written to a table of labels")
    index = pd.Index(np.asarray(obs_names, dtype=object).astype(str), name=index_name or INDEX_NAME, dtype=object)
    table = pa.Table.from_pandas(pd.DataFrame(dict(obs), index=index), preserve_index=True)
    fields = [
        f.with_type(pa.dictionary(pa.int32(), pa.string(), f.type.ordered)) if pa.types.is_dictionary(f.type) else f
        for f in table.schema
    ]
    metadata = {**table.schema.metadata, KEY: key.encode()} if key else table.schema.metadata
    table = table.cast(pa.schema(fields, metadata=metadata))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    data = buffer.getvalue()
    place.store.write("", data)
    return len(data)


def has_key(place: Place, key: str) -> bool:
    """Tell whether a table stands at a place that was written with this key; only its last bytes are read.

    In a bucket these are one request, or two where the columns are very many.
    """
    return metadata_of(place).get(KEY) == key.encode()
