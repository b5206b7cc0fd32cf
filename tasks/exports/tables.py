"""Tables of labels, a row for each cell: text, or Parquet whose columns R's arrow reads as factors in cluster order."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from cellstrata.configs.errors import listed
from cellstrata.tasks.exports.format import Format, Written
from cellstrata.tasks.exports.levels import Exported, Level, factor
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.publishing.labels_parquet import INDEX_NAME, write_labels_parquet
from cellstrata.tasks.stores.places import Place

TERM = "ontology_term_id"
MOST_NAMES = 8


def columns_of(found: Exported) -> dict[str, Any]:
    """Return the exported columns by name: clusters, and their names and terms where these were given.

    Categoricals of strings, (n,), the categories in the order of the clusters, none without a cell.
    """
    return dict(_columns(found))


def _columns(found: Exported) -> Iterator[tuple[str, Any]]:
    for column in found.columns:
        clusters = found.clusters(column)
        yield column, factor(clusters)
        names = found.named(clusters)
        if names is not None:
            yield names.column, factor(names)
            if any(one.ontology for one in names.groups):
                yield f"{column}_{TERM}", _terms(names)


def _terms(names: Level) -> Any:
    with IMPORTING:
        import pandas as pd

    kept = list(dict.fromkeys(one.ontology for one in names.groups if one.ontology))
    of_label = pd.array([kept.index(one.ontology) if one.ontology else -1 for one in names.groups], dtype="int32")
    codes = of_label.to_numpy()[names.codes].copy()
    codes[names.codes < 0] = -1
    return pd.Categorical.from_codes(codes, categories=pd.Index(kept, dtype=object))


def _index(columns: Mapping[str, Any]) -> str:
    return next(name for name in (INDEX_NAME, "obs_names", "cell_name") if name not in columns)


def _said(columns: Mapping[str, Any]) -> str:
    return f"{len(columns)} column{'s'[: len(columns) != 1]}: {listed(list(columns), MOST_NAMES)}"


def _write_parquet(found: Exported, place: Place) -> Written:
    columns, names = columns_of(found), found.names
    found.check_unchanged()
    write_labels_parquet(place, names, columns, index_name=_index(columns))
    return Written(_said(columns))


def _write_text(found: Exported, place: Place, between: str) -> Written:
    with IMPORTING:
        import pandas as pd

    columns = columns_of(found)
    frame = pd.DataFrame(columns, index=pd.Index(found.names, dtype=object, name=_index(columns)))
    buffer = io.BytesIO()
    # Texts in quotes, so that `1_0` or `007` stays one, and a missing label is told from an empty one.
    frame.to_csv(buffer, sep=between, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, encoding="utf-8", mode="wb")
    found.check_unchanged()
    place.store.write("", buffer.getvalue())
    return Written(_said(columns))


CSV = Format((".csv",), "a row for each cell", lambda found, place: _write_text(found, place, ","))
TSV = Format((".tsv",), "the same, with tabs", lambda found, place: _write_text(found, place, "\t"))
PARQUET = Format((".parquet",), "the same, factors in cluster order for R's arrow, pandas, DuckDB", _write_parquet)
