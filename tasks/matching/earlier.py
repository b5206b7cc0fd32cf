"""The earlier result whose ids are taken: its clusters and the names of its cells, from a file or from memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.errors import listed
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.reading import obs_names, read_obs_column
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.matching.ids import Level, in_order
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import RECORD
from cellstrata.tasks.results.record import WHERE, read_result
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.trees.ids import Match
from cellstrata.tasks.trees.rows import TreeRows

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

MOST_NAMES = 8
MEMORY = "an AnnData in memory"


@dataclass(frozen=True, eq=False)
class Earlier:
    """An earlier result: the names of its cells, (n,) object array of str, its columns of clusters, retired ids.

    `lost` are columns of its tree that obs has no more, or with other labels. `url` is what messages call
    it, `publish_key` and `created` are empty where it does not tell.
    """

    url: str
    publish_key: str
    created: str
    names: np.ndarray
    levels: Mapping[str, Level]
    retired: Mapping[str, tuple[str, ...]]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SharedCells:
    """An earlier result on the cells that data have too: `rows`, (m,) int64, are their numbers in the data.

    `levels` and `retired` are by column, the codes of levels of these cells alone; `match` is what a result says of it.
    """

    rows: np.ndarray
    levels: Mapping[str, Level]
    retired: Mapping[str, tuple[str, ...]]
    match: Match
    notices: tuple[str, ...] = ()


def read_earlier(place: Place) -> Earlier:
    """Read an earlier result; nothing of it is changed.

    Raises
    ------
    InputError
        If there is none, it cannot be read, or it is no result of cellstrata with a tree.
    """
    record = read_result(place)
    if not record.columns():
        raise InputError(record.url, WHERE, "tells of no clusters; give a result of `cellstrata run`")
    series = {}
    with record.source.root() as root:
        with reading(record.url, "obs"):
            names = obs_names(root)
        for name in record.columns():
            if name not in record.obs:
                continue
            with reading(record.url, f"obs[{name!r}]"):
                series[name] = read_obs_column(root, name)
    texts = record.texts
    with reading(record.url, f"{WHERE}['match']"):
        retired = retired_of(texts.get("match"))
    levels, lost = _levels(series, record.columns(), len(names), record.rows)
    return Earlier(
        record.url, texts.get("publish_key", ""), texts.get("created", ""), names, levels, retired, tuple(lost)
    )


def earlier_adata(adata: ad.AnnData, key: str | None = None) -> Earlier:
    """Take an AnnData in memory as an earlier result. Raises InputError if it has no clusters of cellstrata."""
    record = AdataRecord.of(adata, key)
    said: Mapping[str, Any] = adata.uns[record.key]
    every = [str(name) for name in dict.fromkeys(record.tree["column"])]
    found, lost = _levels({name: obs_column(adata, name) for name in record.columns}, every, adata.n_obs, record.rows)
    own = f"{record.key}_" if record.key != RECORD else ""
    levels = {
        name.removeprefix(own): replace(of, column=name.removeprefix(own), above=of.above.removeprefix(own))
        for name, of in found.items()
    }
    names = np.array(list(map(str, adata.obs_names)), dtype=object)
    texts = {name: str(said.get(name, "")) for name in ("publish_key", "created")}
    return Earlier(MEMORY, **texts, names=names, levels=levels, retired=retired_of(said.get("match")), lost=tuple(lost))


def shared_cells(earlier: Earlier, names: np.ndarray, made: Iterable[str] | None = None) -> SharedCells:
    """Find the cells of an earlier result among those of data, by name.

    A name that occurs twice in one of both is no cell of both. `made` are the columns that are made of the data, None
    where that is not known.

    Raises
    ------
    InputError
        If no cell is shared, or the earlier result has none of the columns that are made.
    """
    with IMPORTING:
        import pandas as pd

    ours, theirs = pd.Index(names, dtype=object), pd.Index(earlier.names, dtype=object)
    unique = np.flatnonzero(~theirs.duplicated(keep=False))
    places = theirs[unique].get_indexer(ours)
    places[ours.duplicated(keep=False)] = -1
    rows = np.flatnonzero(places >= 0)
    if not len(rows):
        examples = " and ".join(repr(str(each[0])) for each in (names, earlier.names) if len(each))
        message = f"shares no cell by name with the data: {examples}; give a result of the same cells"
        raise InputError(earlier.url, "obs", message)
    cells = unique[places[rows]]
    notices = []
    if twice := len(earlier.names) - len(unique):
        notices.append(f"{twice} cells of {earlier.url} have names that occur twice, and are not matched")
    if earlier.lost:
        notices.append(
            f"{_listed(earlier.lost)}: obs of {earlier.url} has no longer what its tree tells of, so ids are new"
        )
    if made is not None:
        notices += _lacking(earlier, list(made))
    levels = {name: replace(level, codes=level.codes[cells]) for name, level in earlier.levels.items()}
    match = Match(
        result=earlier.url, publish_key=earlier.publish_key, created=earlier.created, shared=len(rows),
        only_here=len(names) - len(rows), only_there=len(earlier.names) - len(rows), carried={},
    )  # fmt: skip
    return SharedCells(rows, levels, earlier.retired, match, tuple(notices))


def carried_ids(earlier: SharedCells, made: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the ids of columns that are not made: should one be made again, its new clusters get others."""
    found = {}
    for column in sorted({*earlier.levels, *earlier.retired} - set(made)):
        there = earlier.levels[column].labels if column in earlier.levels else ()
        found[column] = tuple(sorted({*there, *earlier.retired.get(column, ())}, key=in_order))
    return found


def retired_of(said: object) -> dict[str, tuple[str, ...]]:
    """Read the retired ids, by column, of what a result says of its own match; none where it was not matched."""
    document = json.loads(str(said)) if said else {}
    found = document.get("retired", {}) if isinstance(document, dict) else {}
    return {str(column): tuple(map(str, labels)) for column, labels in found.items()}


def _lacking(earlier: Earlier, made: list[str]) -> list[str]:
    lacking = [name for name in made if name not in earlier.levels]
    if not lacking:
        return []
    there = _listed(list(earlier.levels)) or "none"
    if len(lacking) == len(made):
        message = f"has none of the columns that are made here, {_listed(made)}; it has {there}"
        raise InputError(earlier.url, "obs", f"{message}. Ask for one of these, or give another result")
    again = [name for name in lacking if name in earlier.retired]
    first = [name for name in lacking if name not in earlier.retired]
    said = [f"{earlier.url} has no {_listed(first)}: its clusters are numbered by size"] if first else []
    if again:
        said.append(f"{earlier.url} has no {_listed(again)} any more: its clusters get ids that were never used")
    return said


def _levels(
    series: Mapping[str, pd.Series], columns: Iterable[str], n_cells: int, rows: TreeRows
) -> tuple[dict[str, Level], list[str]]:
    """Return columns as levels, and those of whose cells nothing is known: obs lacks them, or has other labels."""
    found: dict[str, Level] = {}
    lost: list[str] = []
    for name in columns:
        told, above = rows.clusters(name), rows.above(name)[-2:-1]
        labels = tuple(told)  # also those whose cells are all gone: the ids are theirs
        codes = np.full(n_cells, -1, np.int32)
        values = series[name].astype("category").cat.remove_unused_categories() if name in series else None
        if values is not None and set(map(str, values.cat.categories)) <= set(labels):
            index = {label: at for at, label in enumerate(labels)}
            places = [index[str(label)] for label in values.cat.categories]
            codes = np.array([*places, -1], np.int32)[values.cat.codes.to_numpy()]
        else:
            lost.append(name)
        parents = tuple(str(told[label]["parent"]) for label in labels)
        found[name] = Level(name, codes, labels, parents, above[0] if above else "")
    return found, lost


def _listed(names: Collection[str]) -> str:
    return listed(list(names), MOST_NAMES)
