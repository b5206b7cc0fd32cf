"""Putting the obs columns of several results together, cell by cell."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cellstrata.configs.errors import at_most, listed
from cellstrata.tasks.elements.legacy import is_legacy_frame, read_frame
from cellstrata.tasks.elements.opening import InputError, Opened, Root, reading
from cellstrata.tasks.elements.reading import obs_columns, obs_index_column, obs_names, read_obs_column
from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import encoding
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.results.names import result_names
from cellstrata.tasks.stores.places import Place

if TYPE_CHECKING:
    import pandas as pd

# A pandas Categorical, a NumPy array, or another pandas array, each of length n.
Column: TypeAlias = Any

MOST_LINES = 9
MOST_NAMES = 6


@dataclass(frozen=True)
class Collected:
    """The columns of several results, in the first one's order of cells.

    `names` is an object array of n str, duplicates and all; `index` is what the first calls its obs
    index, `_index` where that has no name. `columns` are the values by name, each of length n, with
    the dtypes that they have in the results. `found` names for each result the columns that hold
    what is in its obs. `urls` are the results, `first` is the first of them, to be entered again.
    """

    names: np.ndarray
    index: str
    columns: Mapping[str, Column]
    found: tuple[tuple[str, ...], ...]
    notices: tuple[str, ...]
    urls: tuple[str, ...]
    first: Opened = field(repr=False)


def collect_columns(places: Sequence[Place]) -> Collected:
    """Read all obs columns of some results, and nothing else, and match their cells by name.

    Cells of the same names in the same order are the same, also where names occur twice; those of
    another order are put in that of the first result. A column that several results have with the
    same values is kept once, as the first has it; one with other values is called `column@result`.

    Raises
    ------
    InputError
        With all that is wrong in all results: one cannot be read, has other cells, or has the same
        in another order with a name that occurs twice.
    """
    if not places:
        raise ValueError("there is nothing to collect")
    collection, problems = _Collection(), []
    for place, result in zip(places, result_names([place.url for place in places]), strict=True):
        try:
            with contextlib.ExitStack() as stack, quiet():
                with reading(place.url):
                    opened = Opened.at(place)
                    root = stack.enter_context(opened.root())
                collection.add(opened, result, root)
            if opened is not collection.first:
                opened.close()
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("", "", "\n".join(at_most(problems, MOST_LINES)))
    return collection.done()


class _Collection:
    """What has been collected so far."""

    def __init__(self) -> None:
        self.first: Opened | None = None
        self.urls: list[str] = []
        self.names, self.index = np.empty(0, dtype=object), ""
        self.columns: dict[str, Column] = {}
        self.called: dict[str, list[str]] = {}  # by a column's name in the results
        self.found: list[tuple[str, ...]] = []
        self.notices: list[str] = []

    def add(self, opened: Opened, result: str, root: Root) -> None:
        """Take what an open result has in obs; the first one's cells are those of all."""
        url = opened.url
        with reading(url, "obs"):
            names, columns = obs_names(root), obs_columns(root)
            index = obs_index_column(root)
        if any(name is None for name in names):
            raise InputError(url, "obs", "has cells without a name; give each one, and cluster it again")
        if self.first is None:
            self.first, self.names, self.index = opened, names, index
        order = self._order(url, names, self.first.url)
        found: dict[str, None] = {}
        renamed = []
        for name, values in _read_columns(url, root, columns, len(names)):
            values = values if order is None else values.take(order)
            if name == self.index and _same(self.names, values):
                continue  # the index once more
            called = self._put(name, values, result)
            if called not in self.called.get(name, []):
                self.called.setdefault(name, []).append(called)
                renamed += [called] if called != name else []
            found[called] = None
        self.urls.append(url)
        self.found.append(tuple(found))
        if renamed:
            self.notices.append(
                f"{url}: other values than before under the same name, kept as {listed(renamed, MOST_NAMES)}"
            )

    def _order(self, url: str, names: np.ndarray, first: str) -> np.ndarray | None:
        """Return which of its cells is each cell of the first result, None if they lie alike."""
        with IMPORTING:
            import pandas as pd

        if np.array_equal(names, self.names):
            return None
        mine, theirs = pd.Index(self.names, dtype=object), pd.Index(names, dtype=object)
        if len(mine) == len(theirs) and mine.is_unique and theirs.is_unique:
            order = np.asarray(theirs.get_indexer(mine))
            if (order >= 0).all():
                self.notices.append(f"{url}: its cells lie in another order, and are put in that of {first}")
                return order
        raise InputError(url, "", _other_cells(names, self.names, first))

    def _put(self, name: str, values: Column, result: str) -> str:
        """Keep a column, unless its values are there under its name; return what it is called here."""
        known = [*self.called.get(name, []), *([name] if name in self.columns else [])]
        for other in dict.fromkeys(known):
            if _same(self.columns[other], values):
                return other
        called = self._free_name(name, result)
        self.columns[called] = values
        return called

    def _free_name(self, name: str, result: str) -> str:
        if name not in self.columns and name != self.index:
            return name
        called = base = f"{name}@{result}"
        number = 1
        while called in self.columns:
            number += 1
            called = f"{base}_{number}"
        return called

    def done(self) -> Collected:
        """Return what has been collected."""
        if len(self.found) > 1 and len(set(self.names)) < len(self.names):
            self.notices.append("some obs names occur twice: cells are told apart by their position")
        assert self.first is not None
        return Collected(
            names=self.names,
            index=self.index,
            columns=self.columns,
            found=tuple(self.found),
            notices=tuple(self.notices),
            urls=tuple(self.urls),
            first=self.first,
        )


def _read_columns(url: str, root: Root, columns: Sequence[str], n: int) -> Iterator[tuple[str, Column]]:
    with reading(url, "obs"):
        frame = read_frame(root, "obs") if is_legacy_frame(root["obs"]) else None
    for name in columns:
        where = f"obs[{name!r}]"
        with reading(url, where):
            column = read_obs_column(root, name) if frame is None else frame[name]
        if len(column) != n:
            raise InputError(url, where, f"has {len(column)} values for {n} cells; write the result again")
        nullable = frame is None and encoding(root["obs"][name]).startswith("nullable")
        yield name, _values(column, nullable)


def _values(column: pd.Series, nullable: bool) -> Column:
    """Return what a Series holds; strings that are not stored as `nullable` ones as an array of objects."""
    with IMPORTING:
        import pandas as pd

    values: Any = column.array
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        return values.to_numpy()
    # pandas 3 makes strings its own, which anndata would store as nullable ones.
    if isinstance(values.dtype, pd.StringDtype) and not nullable and not column.isna().any():
        return values.to_numpy(dtype=object)
    return values


def _same(a: Column, b: Column) -> bool:
    """Tell whether two columns give each cell the same value: the same text, or number, or truth.

    How it is stored, as a category or in how many bits, does not matter.
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype.kind == b.dtype.kind in tuple("biuf"):
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    (codes, values), (other_codes, other_values) = _coded(a), _coded(b)
    number = {value: code for code, value in enumerate(values)}
    same_code = np.array([*(number.get(value, -2) for value in other_values), -1])  # -1, missing, finds the last
    return bool(np.array_equal(codes, same_code[other_codes]))


def _coded(values: Column) -> tuple[np.ndarray, list[tuple[str, object]]]:
    """Return for each cell the number of its value, -1 where it is missing, and the values."""
    with IMPORTING:
        import pandas as pd

    if isinstance(values, pd.Categorical):
        codes, each = values.codes, values.categories
    else:
        codes, each = pd.factorize(values.astype(np.float32) if values.dtype == np.float16 else values)
    # With its type, since 1, 1.0 and True are the same key in Python.
    return np.asarray(codes, dtype=np.int64), [(type(value).__name__, value) for value in each.tolist()]


def _other_cells(names: np.ndarray, of_first: np.ndarray, first: str) -> str:
    """Say how the cells of a result differ from those of the first."""
    here, there = Counter(names.tolist()), Counter(of_first.tolist())
    only_here, only_there = here - there, there - here
    if only_here or only_there:
        counts = [
            f"{sum(cells.values())} only {place}" + (f", such as {next(iter(cells))!r}" if cells else "")
            for cells, place in ((only_here, "here"), (only_there, "there"))
        ]
        return (
            f"has {len(names)} cells, and {first} has {len(of_first)}: {'; '.join(counts)}; collect what has the same"
        )
    twice, times = next((name, times) for name, times in here.items() if times > 1)
    return (
        f"has the cells of {first} in another order, and {times} of them are called {twice!r}: "
        "which is which cannot be known; use `obs_names_make_unique` before clustering"
    )
