"""The marker genes beside a result, as one parquet file that needs no AnnData to be read."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.publishing.parquet_metadata import metadata_of
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import pandas as pd

NAMED = ("column", "cluster", "parent", "against")
TESTED = {
    "score": "scores", "log_fold_change": "log_fold_changes", "p": "p", "p_adjusted": "p_adjusted",
    "share_in": "shares", "share_out": "shares_of_rest",
}  # fmt: skip
KEY = b"markers"  # in the metadata of the schema: how they were found, as JSON


@dataclass(frozen=True, eq=False)
class ClusterMarkers:
    """The markers of one cluster of a column against `sisters` or `all`."""

    column: str
    cluster: str
    parent: str
    against: str
    found: RankedGenes


def write_markers_parquet(
    place: Place, markers: Iterable[ClusterMarkers], genes: np.ndarray, how: Mapping[str, object]
) -> int:
    """Write a row for each marker to one parquet file, atomically; return its bytes.

    `genes` are the names of all genes. `how` is kept in the metadata of the schema under `markers`, as JSON.

    Columns: `column`, `cluster`, `parent`, `against`, `gene` (dictionaries of strings), `rank` (int32, from 1),
    `score`, `log_fold_change`, `p`, `p_adjusted`, `share_in`, `share_out`, `auroc` (float64; `auroc` is null for a
    t-test).
    """
    with IMPORTING:
        import pyarrow.parquet as pq

    table = markers_table(markers, genes)
    buffer = io.BytesIO()
    said = {KEY: json.dumps(dict(how), sort_keys=True).encode()}
    pq.write_table(table.replace_schema_metadata(said), buffer, compression="zstd")
    data = buffer.getvalue()
    place.store.write("", data)
    return len(data)


def markers_table(markers: Iterable[ClusterMarkers], genes: np.ndarray) -> Any:
    """Return the same rows as a `pyarrow.Table`."""
    with IMPORTING:
        import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    names = (*NAMED, "gene")
    numbers = (*TESTED, "auroc")
    fields = [*((name, text) for name in names), ("rank", pa.int32()), *((name, pa.float64()) for name in numbers)]
    schema = pa.schema(fields)
    every = list(markers)
    lengths = [len(one.found.genes) for one in every]
    columns = [
        pa.array(np.repeat(np.array([getattr(one, name) for one in every], dtype=object), lengths), pa.string())
        for name in names[:-1]
    ]
    places = _joined([one.found.genes for one in every], np.int64)
    columns.append(pa.array(np.asarray(genes, dtype=object)[places].astype(object), pa.string()))
    columns = [column.dictionary_encode() for column in columns]
    columns.append(pa.array(_joined([np.arange(1, n + 1) for n in lengths], np.int32)))
    for of in TESTED.values():
        columns.append(pa.array(_joined([getattr(one.found, of) for one in every], np.float64)))
    areas = [one.found.auroc for one in every]
    known = [np.full(n, np.nan) if area is None else area for area, n in zip(areas, lengths, strict=True)]
    columns.append(pa.array(_joined(known, np.float64), from_pandas=True))
    return pa.table(columns, schema=schema)


def said_of_markers(place: Place) -> Mapping[str, object]:
    """Return what a table says of how it was made, nothing where there is none."""
    try:
        said = json.loads(metadata_of(place).get(KEY, b"{}"))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def has_markers(place: Place, how: Mapping[str, object]) -> bool:
    """Tell whether a table stands at a place that was written with this `how`, whenever that was."""
    there = {name: value for name, value in said_of_markers(place).items() if name != "created"}
    return bool(there == json.loads(json.dumps(dict(how))))


def clusters_of_table(table: pd.DataFrame) -> tuple[tuple[ClusterMarkers, ...], np.ndarray]:
    """Return the markers of each cluster from the rows that `markers_table` makes, and the names of their genes."""
    names, places = np.unique(table["gene"].astype(str).to_numpy(), return_inverse=True)
    numbers = {name: table[name].to_numpy(np.float64) for name in (*TESTED, "auroc")}
    groups = table.assign(row=np.arange(len(table))).groupby(list(NAMED), sort=False, observed=True)["row"]
    found = []
    for (column, cluster, parent, against), of in groups:
        rows = of.to_numpy()[np.argsort(table["rank"].to_numpy()[of.to_numpy()], kind="stable")]
        values = {field: numbers[name][rows] for name, field in TESTED.items()}
        area = numbers["auroc"][rows]
        test = RankedGenes(genes=places[rows], auroc=None if np.isnan(area).all() else area, **values)
        found.append(ClusterMarkers(str(column), str(cluster), str(parent), str(against), test))
    return tuple(found), names.astype(object)


def _joined(parts: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.empty(0, kind), *parts]).astype(kind)
