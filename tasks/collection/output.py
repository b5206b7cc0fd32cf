"""Writing collected columns: a parquet file, a CSV file, or the first result with all columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cellstrata.tasks.collection.columns import Collected, Column
from cellstrata.tasks.elements.ownership import is_foreign, made_by_us
from cellstrata.tasks.elements.reading import obs_columns, read_uns, uns_keys
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.publishing.input_elements import OutputError
from cellstrata.tasks.publishing.labels_parquet import INDEX_NAME, write_labels_parquet
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.locations import Location
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import is_local, real
from cellstrata.tasks.stores.write_access import unusable

if TYPE_CHECKING:
    import pandas as pd

COMMAND = "collect"
SUFFIXES = (".parquet", ".csv", ".tsv", ".zarr")
# Of the first result's own record: what says that exactly it stands there, in whole.
NOT_KEPT = ("publish_key", "column")


def check_collected_output(urls: Sequence[str], output: Place, *, overwrite: bool = False) -> None:
    """Refuse an output that is of no known form, of a result that is collected, or there already.

    Raises
    ------
    OutputError
        With all that is wrong, a line each.
    """
    url, problems = output.url, []
    suffix = _suffix(url)
    if not suffix:
        problems.append("must end in .parquet, .csv, .tsv or .zarr, which says what is written")
    location = Location.of(url)
    for source in dict.fromkeys(map(real, urls)):
        if location.overlaps(Location.of(source)):
            problems.append(f"is a result that is collected, lies in it or holds it ({source}); choose another output")
            break
    else:
        problems += _in_the_way(output, suffix, overwrite=overwrite)
    if is_local(url) and not problems and (problem := unusable(Place(f"{url}.part"))):  # it is made beside its place
        problems.append(f"cannot be written, {problem}; choose another output")
    if problems:
        raise OutputError("", "", "\n".join(f"{url}: {problem}" for problem in problems))


def write_collected(collected: Collected, output: Place, *, overwrite: bool = False) -> None:
    """Write collected columns to `output`, in one step: a reader sees nothing, the old or the new.

    `.parquet`, `.csv` and `.tsv` (UTF-8, LF) have the obs names as their index and a column each; categories
    that are numbers are written as these. `.zarr` is the first of the results, in the order in
    which they were collected, linked or copied, with the columns that it lacks behind its own;
    `uns['clustering']['collected']` is a JSON list of `{result, columns}`.

    Raises
    ------
    OutputError
        As `check_collected_output`, or if a zarr cannot hold a column of a name.
    """
    check_collected_output(collected.urls, output, overwrite=overwrite)
    suffix = _suffix(output.url)
    if suffix == ".zarr":
        _write_zarr(collected, output)
        return
    columns = {name: _plain(values) for name, values in collected.columns.items()}
    index = _index_name(collected)
    if suffix == ".parquet":
        write_labels_parquet(output, collected.names, columns, index_name=index)
    else:
        output.store.write("", _csv(collected.names, columns, index, "\t" if suffix == ".tsv" else ","))


def _suffix(url: str) -> str:
    return next((suffix for suffix in SUFFIXES if url.rstrip("/").endswith(suffix)), "")


def _in_the_way(output: Place, suffix: str, *, overwrite: bool) -> list[str]:
    there = output.store
    exists = "exists; choose another output, or replace it with --overwrite"
    if not there.exists() or (suffix == ".zarr" and not there.is_file() and not there.list()):
        return []
    if suffix == ".zarr" and is_foreign(output):
        return ["exists, was not made by cellstrata and is left alone; move it away, or choose another output"]
    if suffix != ".zarr" and not there.is_file():
        return ["exists and is no file, so it is left alone; move it away, or choose another output"]
    return [] if overwrite else [exists]


def _index_name(collected: Collected) -> str:
    """Return what to call the obs names in a table: as beside a result of a run, unless a column is called so."""
    names = (INDEX_NAME, "obs_names", *(f"{INDEX_NAME}_{number}" for number in range(2, 99)))
    return next(name for name in names if name not in collected.columns)


def _plain(values: Column) -> Column:
    """Return categories that are no strings as the values, whole numbers as such where some are missing."""
    with IMPORTING:
        import pandas as pd

    if not isinstance(values, pd.Categorical) or values.categories.dtype.kind not in tuple("biuf"):
        return values
    if values.categories.dtype.kind == "f" or not (values.codes < 0).any():
        return np.asarray(values)
    return pd.array(values.categories.tolist()).take(values.codes, allow_fill=True)


def _csv(names: np.ndarray, columns: Mapping[str, Column], index: str, between: str) -> bytes:
    frame = _frame(names, columns, index)

    def written(quoting: int) -> bytes:
        buffer = io.BytesIO()
        frame.to_csv(buffer, sep=between, lineterminator="\n", quoting=quoting, encoding="utf-8", mode="wb")  # type: ignore[call-overload]
        return buffer.getvalue()

    data = written(csv.QUOTE_MINIMAL)
    # Python before 3.13 leaves a lone CR unquoted, and readers begin a new row there.
    return written(csv.QUOTE_NONNUMERIC) if b"\r" in data else data


def _frame(names: np.ndarray, columns: Mapping[str, Column], index: str) -> pd.DataFrame:
    with IMPORTING:
        import pandas as pd

    return pd.DataFrame(dict(columns), index=pd.Index(names, dtype=object, name=index))


def _write_zarr(collected: Collected, output: Place) -> None:
    with IMPORTING:
        import anndata

    first = collected.first
    with first.root() as root, quiet():
        there = obs_columns(root)
        ours = "clustering" in uns_keys(root) and made_by_us(root)
        record = dict(read_uns(root, "clustering")) if ours else {}
    added = {name: values for name, values in collected.columns.items() if name not in there}
    _check_names(list(added), there, output.url)
    kept = {key: value for key, value in record.items() if key not in NOT_KEPT}
    entries = [
        {"result": url, "columns": list(columns)} for url, columns in zip(collected.urls, collected.found, strict=True)
    ]
    uns = {"clustering": {**kept, "command": COMMAND, "collected": json.dumps(entries, ensure_ascii=False)}}
    with anndata.settings.override(allow_write_nullable_strings=True):
        publish(first, output, obs=added, uns=uns)


def _check_names(added: list[str], there: list[str], output: str) -> None:
    """Refuse names that are paths, which anndata forbids, and that lie in, or hold, those that are."""
    holding = {name.partition("/")[0] for name in there if "/" in name}
    wrong = [name for name in added if set(name) & {"/", "\\"} or name in ("", ".", "..") or name in holding]
    if wrong:
        named = ", ".join(map(repr, wrong[:6]))
        message = f"a zarr cannot hold columns with these names: {named}; write .parquet or .csv"
        raise OutputError(output, "obs", message)
