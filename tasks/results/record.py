"""What a result says of itself, read back: its record, and those of the results that it was collected from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cellstrata.tasks.advice.advice import Advice, advice_of_json
from cellstrata.tasks.elements.opening import DataError, InputError, Opened, reading
from cellstrata.tasks.elements.reading import obs_columns, read_obs_column, read_uns, uns_keys
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.results.provenance import completed_table, tree_table
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import join
from cellstrata.tasks.trees.column_facts import ColumnFacts, columns_of_json
from cellstrata.tasks.trees.rows import TreeRows

if TYPE_CHECKING:
    import pandas as pd

WHERE = "uns['clustering']"
TABLES = (".parquet", ".csv", ".tsv")
RESULTS = (".zarr", ".h5ad", ".zip")
LISTED = "clustering/output_files.tsv"  # in the output_dir of a run


class NoResult(InputError):
    """What stands at a place was not made by cellstrata."""


@dataclass(frozen=True, eq=False)
class ResultRecord:
    """`uns['clustering']` of a result: its texts, the facts of its columns, and its tree, today's columns
    and one row a cluster, none where the result has no tree.

    `obs` are the names of the obs columns. `collected` are what `collect` put together: each result,
    and the columns that hold what is in its obs.
    """

    source: Opened
    texts: Mapping[str, str]
    facts: Mapping[str, ColumnFacts]
    tree: pd.DataFrame
    obs: tuple[str, ...]
    collected: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def url(self) -> str:
        """Where the result stands."""
        return self.source.url

    def document(self, name: str) -> dict[str, Any]:
        """Return an entry that is a JSON text, empty where there is none."""
        return _mapping(self.texts.get(name))

    @cached_property
    def rows(self) -> TreeRows:
        """The rows of the tree, to be asked."""
        return TreeRows(self.tree, self.facts)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """Which resolution to take, by algorithm; empty where the result does not tell, or not in today's words."""
        return advice_of_json(self.texts.get("advice"))

    @property
    def curations(self) -> tuple[dict[str, Any], ...]:
        """What `curate` has written of names that people gave, the earliest first; empty where it did not."""
        try:
            entries = json.loads(self.texts.get("curation", "[]"))
        except ValueError:
            return ()
        return tuple(entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()

    def columns(self) -> list[str]:
        """Return the columns that the tree tells of, in its order."""
        return [str(name) for name in dict.fromkeys(self.tree["column"])]


@dataclass(frozen=True)
class Told:
    """A column, the record that tells of it, and what it is called there."""

    record: ResultRecord
    name: str


def read_result(place: Place) -> ResultRecord:
    """Read the record of a result of `run`, `cluster` or `collect`, a zarr or what was made of it.

    Raises
    ------
    InputError
        If there is nothing at the place, or it cannot be read.
    NoResult
        If it is no result of ours.
    """
    url = place.url
    with reading(url):
        if url.endswith(TABLES):
            raise _foreign(url)
        if not url.endswith(RESULTS) and place.at(join(url, LISTED)).store.exists():
            message = f"is the output_dir of a run; name one of its results, which {LISTED} lists"
            raise NoResult(url, "", message)
        source = Opened.at(place)
        with source.root() as root:
            there = "clustering" in uns_keys(root)
            with reading(url, WHERE):
                found = read_uns(root, "clustering") if there else None
            if not isinstance(found, Mapping) or str(found.get("made_by")) != MADE_BY:
                raise _foreign(url)
            with reading(url, "obs"):
                obs = tuple(obs_columns(root))
    with reading(url, WHERE):
        table = completed_table(found.get("tree"))
        columns = _mapping(found.get("columns"))
        return ResultRecord(
            source=source,
            texts={str(name): str(value) for name, value in found.items() if name != "tree"},
            facts=columns_of_json(columns),
            tree=tree_table([]) if table is None else table,
            obs=obs,
            collected=_collected(found.get("collected")),
        )


def told_columns(record: ResultRecord) -> tuple[dict[str, Told], dict[str, str]]:
    """Return what tells of each column, and for columns of results that cannot be read any more, why.

    A result of `collect` holds the record of its first result; for the columns of the others these are
    opened, and for those that they collected, these.
    """
    return _told(record, frozenset())


def _told(record: ResultRecord, seen: frozenset[str]) -> tuple[dict[str, Told], dict[str, str]]:
    first = record.collected[0][1] if record.collected else ()
    of_others = {name for _, columns in record.collected[1:] for name in columns} - set(first)
    here = {name: Told(record, name) for name in record.columns()}
    told = {name: column for name, column in here.items() if name not in of_others}
    lost: dict[str, str] = {}
    for url, columns in record.collected:
        wanted = [name for name in columns if name not in told and name not in lost]
        if not wanted or url in {*seen, record.url}:
            continue
        try:
            other = read_result(record.source.place.at(url))
        except NoResult:
            continue
        except DataError as error:
            lost |= dict.fromkeys(wanted, str(error))
            continue
        theirs, lost_there = _told(other, seen | {record.url})
        for name in wanted:
            original = name if name in other.obs else name.rpartition("@")[0]
            if original in theirs:
                told[name] = theirs[original]
            elif original in lost_there:
                lost[name] = lost_there[original]
    told = {**{name: here[name] for name in here if name not in told}, **told}
    return told, {name: reason for name, reason in lost.items() if name not in told}


def sizes_in_obs(record: ResultRecord, column: str) -> dict[str, int]:
    """Return how many cells each cluster of an obs column of a result has, by its label.

    Raises
    ------
    InputError
        If the column cannot be read.
    """
    with record.source.root() as root, reading(record.url, f"obs[{column!r}]"):
        counts = read_obs_column(root, column).value_counts()
        return {str(label): int(n) for label, n in counts.items() if n}


def _foreign(url: str) -> NoResult:
    message = "is no result of cellstrata; give a zarr that `cellstrata run`, `cluster` or `collect` wrote"
    return NoResult(url, "", message)


def _mapping(text: object) -> dict[str, object]:
    found = json.loads(str(text)) if text is not None else {}
    return found if isinstance(found, dict) else {}


def _collected(text: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    entries = json.loads(str(text)) if text is not None else []
    return tuple((str(entry["result"]), tuple(map(str, entry["columns"]))) for entry in entries)
