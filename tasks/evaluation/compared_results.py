"""Columns of one result, or of two with cells of the same names, compared: which pairs, of which cells."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from cellstrata.configs.cluster_ids import TREE
from cellstrata.configs.errors import listed
from cellstrata.tasks.evaluation.cell_tables import CellTable, cell_names, open_cells, read_groups
from cellstrata.tasks.evaluation.comparison import Comparison, compare
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place

MOST_PAIRS = 15  # those of six columns
MOST_NAMES = 12
_OURS = re.compile(rf"{TREE}_[0-9]+")  # a column of clusters, leiden_0.5_2

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: the file, its column, and what people call the file where there are two."""

    url: str
    column: str
    called: str = ""

    @property
    def title(self) -> str:
        """What people call the column."""
        return f"{self.column} of {self.called}" if self.called else self.column


@dataclass(frozen=True, eq=False)
class ComparedPair:
    """Two columns and how they agree."""

    first: Side
    second: Side
    comparison: Comparison

    @property
    def title(self) -> str:
        """What people call both columns."""
        same = self.first.called and self.first.column == self.second.column
        return f"{self.first.title} and {self.second.called if same else self.second.title}"


@dataclass(frozen=True)
class SharedCells:
    """How many cells two results share by name, and how many only one of them has: these are not compared."""

    shared: int
    only_first: int
    only_second: int


@dataclass(frozen=True, eq=False)
class ComparedResults:
    """All pairs of columns that were asked for; `cells` are None of one result, `names` (n,) None unless asked for."""

    pairs: tuple[ComparedPair, ...]
    cells: SharedCells | None
    names: np.ndarray | None = field(default=None, repr=False)


def compare_columns(place: Place, columns: Sequence[str], *, with_names: bool = False) -> ComparedResults:
    """Compare each two of some columns of one file, in their order.

    Raises
    ------
    InputError
        If the file cannot be read, there are fewer than two columns or too many, or no cell has a value in both.
    """
    with open_cells(place) as table:
        return compare_in_table(table, columns, with_names=with_names)


def compare_in_table(table: CellTable, columns: Sequence[str], *, with_names: bool = False) -> ComparedResults:
    """Compare each two of some columns of a table that is open; as `compare_columns`."""
    asked = list(dict.fromkeys(_words(table, columns)))
    if len(asked) < 2:
        there = listed(list(table.columns), MOST_NAMES) or "none"
        raise InputError(table.url, "", f"name two columns to compare, as leiden_0.2_1,leiden_0.5_1; it has {there}")
    if len(asked) * (len(asked) - 1) // 2 > MOST_PAIRS:
        raise InputError(table.url, "", f"{len(asked)} columns are too many pairs to compare; name at most six")
    groups = _all_groups(table, asked)
    names = cell_names(table) if with_names else None
    pairs = [
        _pair(Side(table.url, one.name), one, Side(table.url, other.name), other)
        for one, other in combinations(groups, 2)
    ]
    return ComparedResults(tuple(pairs), None, names)


def compare_results(
    first: Place,
    second: Place,
    columns: Sequence[str] = (),
    *,
    called: tuple[str, str] = ("A", "B"),
    with_names: bool = False,
) -> ComparedResults:
    """Compare columns of two files, of the cells whose names both have.

    One column is compared with that of the same name, of two the first is the first file's. Without any all columns of
    clusters that both have are compared, each with that of its name. `called` is what people call the files.

    Raises
    ------
    InputError
        With all that is wrong in both: one cannot be read, lacks a column, has a cell without a name or a name twice;
        or they share no cell.
    """
    noted = _Noted()
    tables: list[CellTable] = []
    with contextlib.ExitStack() as stack:
        for place in (first, second):
            with noted.problems():
                tables.append(stack.enter_context(open_cells(place)))
        noted.tell()
        return compare_tables(tables[0], tables[1], columns, called=called, with_names=with_names)


def compare_tables(
    first: CellTable,
    second: CellTable,
    columns: Sequence[str] = (),
    *,
    called: tuple[str, str] = ("A", "B"),
    with_names: bool = False,
) -> ComparedResults:
    """Compare columns of two tables that are open; as `compare_results`."""
    noted = _Noted()
    asked = _asked_of_two(first, second, columns)
    read: list[tuple[list[Categories], np.ndarray]] = []
    for table, wanted in zip((first, second), zip(*asked, strict=True), strict=True):
        with noted.problems():
            read.append((_all_groups(table, wanted), cell_names(table)))
    noted.tell()
    (groups, names), (others, their_names) = read
    rows, their_rows = _same_cells(names, their_names, first.url, second.url)
    pairs = [
        _pair(
            Side(first.url, left.name, called[0]), _taken(left, rows),
            Side(second.url, right.name, called[1]), _taken(right, their_rows),
        )
        for left, right in zip(groups, others, strict=True)
    ]  # fmt: skip
    cells = SharedCells(len(rows), len(names) - len(rows), len(their_names) - len(rows))
    return ComparedResults(tuple(pairs), cells, names[rows] if with_names else None)


class _Noted:
    """What is wrong in several files, told at once."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    @contextlib.contextmanager
    def problems(self) -> Iterator[None]:
        """Keep what is wrong in a block."""
        try:
            yield
        except InputError as error:
            self._texts.append(str(error))

    def tell(self) -> None:
        """Raise an InputError with all that is wrong, if anything is."""
        if self._texts:
            raise InputError("", "", "\n".join(self._texts))


def _all_groups(table: CellTable, columns: Sequence[str]) -> list[Categories]:
    """Read columns, all that is wrong with them told at once."""
    noted, found = _Noted(), {}
    for name in dict.fromkeys(columns):
        with noted.problems():
            found[name] = read_groups(table, name)
    noted.tell()
    return [found[name] for name in columns]


def _words(table: CellTable, columns: Sequence[str]) -> list[str]:
    """Return the columns that are named: a word that is none may be several, joined by commas."""
    words = [part for word in columns for part in ([word] if word in table.columns else word.split(","))]
    return [word.strip() for word in words if word.strip()]


def _asked_of_two(one: CellTable, other: CellTable, columns: Sequence[str]) -> list[tuple[str, str]]:
    if columns:
        asked = _words(one, columns)
        if not 1 <= len(asked) <= 2:
            message = f"of two results one column is compared, or one of each, not {listed(asked, MOST_NAMES)}"
            raise InputError("", "columns", f"{message}; leave it away for all that both have")
        return [(asked[0], asked[-1])]
    shared = [name for name in one.columns if name in other.columns]
    ours = [name for name in shared if _OURS.fullmatch(name)]
    if not ours:
        both = f"both have {listed(shared, MOST_NAMES)}" if shared else "they share no column"
        raise InputError(
            "",
            "",
            f"{one.url} and {other.url} share no column of clusters ({both}); name one of each, columns A,B",
        )
    if len(ours) > MOST_PAIRS:
        message = f"they share {len(ours)} columns of clusters, {listed(ours, MOST_NAMES)}; name one as columns"
        raise InputError("", "", message)
    return [(name, name) for name in ours]


def _pair(first: Side, groups: Categories, second: Side, others: Categories) -> ComparedPair:
    try:
        return ComparedPair(first, second, compare(groups, others))
    except ValueError:
        lacking = f"no cell has a value in {first.column!r} and in {second.column!r} too; name other columns"
        raise InputError(first.url, "" if first.url == second.url else f"and {second.url}", lacking) from None


def _same_cells(names: np.ndarray, others: np.ndarray, url: str, other_url: str) -> tuple[Rows, Rows]:
    """Return the rows of the cells whose names both have, in the order of the first; names are there once."""
    with IMPORTING:
        import pandas as pd

    if np.array_equal(names, others):
        return (every := np.arange(len(names))), every
    places = pd.Index(others, dtype=object).get_indexer(pd.Index(names, dtype=object))
    rows = np.flatnonzero(places >= 0)
    if not len(rows):
        examples = "".join(f", as {each[0]!r}" for each in (names,) if len(each))
        theirs = f" and {others[0]!r}" if len(others) else ""
        message = (
            f"shares no cell with {other_url}{examples}{theirs}; give results of the same cells, by the same names"
        )
        raise InputError(url, "obs", message)
    return rows, places[rows].astype(np.int64)


def _taken(groups: Categories, rows: Rows) -> Categories:
    """Return the groups of some cells, all labels kept."""
    same = len(rows) == len(groups.codes) and np.array_equal(rows, np.arange(len(rows)))
    return groups if same else replace(groups, codes=groups.codes[rows])
