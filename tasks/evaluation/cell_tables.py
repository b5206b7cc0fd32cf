"""The obs of an AnnData file, or a table of labels beside it, as groups of cells: the columns that are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import InputError, Root, open_anndata, reading
from cellstrata.tasks.elements.own_metadata import covariate_elements, take_own
from cellstrata.tasks.evaluation.covariates import Categories, categories_of, stored_colors
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import pandas as pd

PARQUET = ".parquet"
NAMES = ("obs_name", "obs_names", "_index", "__index_level_0__")  # what tables call the cells' names
MOST_NAMES = 12
MOST_GROUPS = 100_000  # of a column; one with more groups cells by nothing


class CellTable(Protocol):
    """Columns of cells that can be read one by one."""

    url: str
    columns: tuple[str, ...]

    def names(self) -> np.ndarray:
        """Return the names of the cells, (n,) object array of str."""

    def series(self, name: str) -> pd.Series:
        """Return a column that is there, of length n."""

    def colors(self, name: str) -> list[str] | None:
        """Return the stored colours of a column's categories."""


@contextlib.contextmanager
def open_cells(place: Place) -> Iterator[CellTable]:
    """Open an h5ad, a zarr or a parquet file with a column for each grouping, on a disk or in a bucket.

    Raises
    ------
    InputError
        If there is none, or it cannot be read.
    """
    if not place.url.endswith(PARQUET):
        with open_anndata(place) as root, reading(place.url, "obs"):
            yield _Obs(place.url, root)
        return
    with contextlib.ExitStack() as stack:
        try:
            with reading(place.url):
                file = stack.enter_context(place.store.open())
                table = _Parquet(place.url, file)
        except InputError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            raise InputError(place.url, "", "there is no such file; check the path") if missing else error from error
        yield table


def read_groups(table: CellTable, name: str) -> Categories:
    """Read a column of text, categories, truth values or whole numbers as groups, in natural order unless ordered.

    Raises
    ------
    InputError
        If there is no such column, it holds other numbers, or too many values to be groups of cells.
    """
    key = f"column {name!r}"
    if name not in table.columns:
        hint = did_you_mean(name, table.columns) or f"it has {listed(list(table.columns), MOST_NAMES) or 'none'}"
        raise InputError(table.url, key, f"there is no such column; {hint}")
    with reading(table.url, key):
        column = _whole(table.series(name))
    if column is None:
        raise InputError(table.url, key, "holds numbers that are not whole; name a column of clusters or categories")
    with reading(table.url, key):
        found = categories_of(column, name, table.colors(name))
    if len(found.labels) > MOST_GROUPS:
        message = (
            f"has {len(found.labels):,} values; name a column of clusters or categories, of at most {MOST_GROUPS:,}"
        )
        raise InputError(table.url, key, message)
    return found


def cell_names(table: CellTable) -> np.ndarray:
    """Return the names of the cells, (n,) object array of str, by which they are told apart.

    Raises
    ------
    InputError
        If a cell has no name, or a name is there twice.
    """
    with IMPORTING:
        import pandas as pd

    with reading(table.url, "obs"):
        names = table.names()
        index = pd.Index(names, dtype=object)
    if index.hasnans:
        raise InputError(table.url, "obs", "has cells without a name; give each one, and write the file again")
    if not index.is_unique:
        twice = index[index.duplicated()]
        message = (
            f"{len(twice):,} cells have the name of another, such as {twice[0]!r}, and which is which cannot be known; "
            "call `obs_names_make_unique` before clustering"
        )
        raise InputError(table.url, "obs", message)
    return names


class _Obs:
    """The obs of an open AnnData file."""

    def __init__(self, url: str, root: Root) -> None:
        self.url, self._root = url, root
        self.columns = tuple(elements.obs_columns(root))

    def names(self) -> np.ndarray:
        return elements.obs_names(self._root)

    def series(self, name: str) -> pd.Series:
        take_own(self._root, *covariate_elements(name))
        column, n = elements.read_obs_column(self._root, name), elements.n_obs(self._root)
        if len(column) != n:
            raise InputError(self.url, f"obs[{name!r}]", f"has {len(column)} values for {n} cells; write it again")
        return column

    def colors(self, name: str) -> list[str] | None:
        return stored_colors(self._root, name)


class _Parquet:
    """An open parquet file."""

    def __init__(self, url: str, file: IO[bytes]) -> None:
        with IMPORTING:
            import pyarrow.parquet as pq

        self.url, self._file = url, pq.ParquetFile(file)
        schema = self._file.schema_arrow
        said: Any = (schema.pandas_metadata or {}).get("index_columns", [])
        indices = [name for name in [*said, *NAMES] if isinstance(name, str) and name in schema.names]
        self._index = indices[0] if indices else None
        self.columns = tuple(name for name in schema.names if name != self._index)

    def names(self) -> np.ndarray:
        if self._index is None:
            raise InputError(
                self.url, "", f"does not name its cells; write it with their names as its index, or as {NAMES[0]!r}"
            )
        return np.asarray(self.series(self._index), dtype=object)

    def series(self, name: str) -> pd.Series:
        column: pd.Series = self._file.read(columns=[name]).column(name).unify_dictionaries().to_pandas()
        return column

    def colors(self, name: str) -> list[str] | None:
        return None


def _whole(column: pd.Series) -> pd.Series | None:
    """Return a column as it is, numbers as whole ones, None where they are not."""
    if column.dtype.name == "category" or column.dtype.kind != "f":
        return column
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[~np.isnan(values)]
    return column.astype("Int64") if np.isfinite(known).all() and (known == np.floor(known)).all() else None
