"""The labels beside a result, as one parquet file that needs no AnnData to be read."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.store import StorageOptions, Store

if TYPE_CHECKING:
    import pandas as pd


def write_labels_parquet(
    url: str,
    obs_names: np.ndarray,
    obs: Mapping[str, pd.Categorical[Any]],
    *,
    index_name: str | None = None,
    storage_options: StorageOptions | None = None,
) -> int:
    """Write label columns by cell name to one parquet file, atomically; return its bytes.

    `obs_names` is an array of n str (duplicates are kept), each column a categorical of strings of
    length n, stored as a dictionary of strings. The index is called `index_name`, else `obs_name`.

    Raises
    ------
    ValueError
        If a column has another length.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    index = pd.Index(np.asarray(obs_names, dtype=object).astype(str), name=index_name or "obs_name", dtype=object)
    table = pa.Table.from_pandas(pd.DataFrame(dict(obs), index=index), preserve_index=True)
    fields = [f if f.name == index.name else f.with_type(pa.dictionary(pa.int32(), pa.string())) for f in table.schema]
    table = table.cast(pa.schema(fields, metadata=table.schema.metadata))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    folder, _, name = Store.at(url, storage_options).url.rpartition("/")
    Store.at(folder or "/", storage_options).write(name, buffer.getbuffer())
    return buffer.getbuffer().nbytes
