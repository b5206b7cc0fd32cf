"""What a parquet file says of itself, from its last bytes."""

from __future__ import annotations

from collections.abc import Mapping

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.ranges import RangeFile

FOOTER = 1 << 18  # bytes, from the end: enough for hundreds of columns


def metadata_of(place: Place) -> Mapping[bytes, bytes]:
    """Return the metadata of the schema of a table, nothing where none stands; only its last bytes are read.

    In a bucket these are one request, or two where the columns are very many.
    """
    with IMPORTING:
        import pyarrow.parquet as pq

    try:
        with place.store.open() as file:
            if isinstance(file, RangeFile):
                file.prefetch([(max(0, file.size - FOOTER), file.size)])
            return dict(pq.read_schema(file).metadata or {})
    except (OSError, ValueError):  # none there, or no table
        return {}
