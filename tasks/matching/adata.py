"""The clusters of an AnnData in memory under the ids of an earlier result, in all that `cs.tl.cluster` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.colours.palette import color_entries, tree_palette
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.matching.earlier import Earlier, carried_ids, shared_cells
from cellstrata.tasks.matching.groups import renamed_groups
from cellstrata.tasks.matching.ids import Level, LevelIds, in_order, match_levels
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.results.annotations import RECORD, markers_key
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.trees.ids import COLUMNS, Kinship, all_retired, new_ids_notice

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

NOTHING = LevelIds({}, {})


@dataclass(frozen=True, eq=False)
class Renamed:
    """What is written: categoricals of obs and entries of uns by name, and what the user should know."""

    obs: Mapping[str, Any]
    uns: Mapping[str, Any]
    notices: tuple[str, ...]

    def write(self, adata: ad.AnnData) -> None:
        """Write it; everything else stays as it is."""
        for name, values in self.obs.items():
            adata.obs[name] = values
        for name, value in self.uns.items():
            adata.uns[name] = value


def match_adata(adata: ad.AnnData, earlier: Earlier, key: str | None = None) -> Renamed:
    """Return the clusters of an AnnData under the ids of an earlier result; nothing is written yet.

    Columns that obs has no more are passed over. Columns are matched by their names, without a `key_added`.

    Raises
    ------
    InputError
        If it has no clusters of cellstrata, a column has labels that its tree does not tell of, or it shares no cell or
        no column with the earlier result.
    """
    record = AdataRecord.of(adata, key)
    names = np.array(list(map(str, adata.obs_names)), dtype=object)
    named = _Names(record)
    shared = shared_cells(earlier, names, map(named.short, named.columns))
    levels = {name: named.level(name) for name in named.columns}
    cells = [replace(level, codes=level.codes[shared.rows]) for level in levels.values()]
    short = match_levels(cells, shared.levels, shared.retired)
    ids = {name: short[named.short(name)] for name in named.columns}
    match = replace(shared.match, carried=carried_ids(shared, short))
    tree = _Rows(record, ids).table()
    labels = {name: _categorical(level, ids[name]) for name, level in levels.items()}
    said = match.to_json(all_retired(match, {name: of.retired for name, of in short.items()}))
    old: Mapping[str, Any] = adata.uns[record.key]
    given = [[name, sorted(of.labels.items())] for name, of in sorted(ids.items())]
    publish_key = digest_values(matched=str(old.get("publish_key", "")), ids=given)
    own = {**old, "tree": tree, "match": json.dumps(said, sort_keys=True), "publish_key": publish_key}
    colors = color_entries(tree_palette(tree, record.facts), labels)
    new = new_ids_notice(match, {name: of.kin.values() for name, of in ids.items()})
    named_groups = renamed_groups(
        adata, record.text("curation"), {name: of.labels for name, of in ids.items()}, tree_palette(tree, record.facts)
    )
    own |= named_groups.record
    uns = {record.key: own, **colors, **named_groups.colors, **_markers(adata, record, ids)}
    return Renamed({**labels, **named_groups.obs}, uns, (*shared.notices, *([] if new is None else [new])))


@dataclass(frozen=True, eq=False)
class _Names:
    """The columns of a record that obs has, each after the one above it."""

    record: AdataRecord

    @property
    def columns(self) -> list[str]:
        return sorted(self.record.columns, key=self.record.rows.level)

    def short(self, name: str) -> str:
        return name if self.record.key == RECORD else name.removeprefix(f"{self.record.key}_")

    def level(self, name: str) -> Level:
        clusters, above = self.record.known_clusters(name), self.record.rows.above(name)[-2:-1]
        known = self.short(above[0]) if above and above[0] in self.record.columns else ""
        return Level(self.short(name), clusters.codes, clusters.labels, clusters.parents, known)


def _categorical(level: Level, ids: LevelIds) -> pd.Categorical[Any]:
    with IMPORTING:
        import pandas as pd

    labels = [ids.labels[label] for label in level.labels]
    order = sorted(range(len(labels)), key=lambda at: in_order(labels[at]))
    place = np.empty(len(labels) + 1, np.int64)
    place[order], place[-1] = np.arange(len(labels)), -1  # the last is for cells without a label
    return pd.Categorical.from_codes(place[level.codes], categories=pd.Index([labels[at] for at in order]))


class _Rows:
    """The rows of a tree under new ids."""

    def __init__(self, record: AdataRecord, ids: Mapping[str, LevelIds]) -> None:
        self._tree, self._ids = record.tree, ids
        every = list(dict.fromkeys(map(str, record.tree["column"])))
        self._chains = {name: record.rows.above(name) for name in every}
        self._below = {chain[-2]: name for name, chain in self._chains.items() if len(chain) > 1}
        self._clusters = {name: list(record.rows.clusters(name).values()) for name in every}

    def table(self) -> pd.DataFrame:
        """Return the table, the clusters of each tree in their order, each with what it was."""
        with IMPORTING:
            import pandas as pd

        own = self._tree.drop(columns=[name for name in COLUMNS if name in self._tree])
        trees = list(dict.fromkeys(chain[0] for chain in self._chains.values()))
        rows = [self._row(row) for row in own.to_dict("records")]
        rows.sort(key=lambda row: (trees.index(self._chains[row["column"]][0]), in_order(row["cluster"])))
        return pd.DataFrame(rows, columns=[*own.columns, *COLUMNS])

    def _row(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        column = row["column"]
        above = self._chains[column][-2] if len(self._chains[column]) > 1 else ""
        ids, kin = self._ids.get(column, NOTHING), self._ids.get(column, NOTHING).kin.get(row["cluster"])
        changed = {
            "cluster": ids.labels.get(row["cluster"], row["cluster"]),
            "parent": self._ids.get(above, NOTHING).labels.get(row["parent"], row["parent"]),
            "children_markers": self._by_child(row),
        }
        return {**row, **changed, **(kin or Kinship(new=False)).to_row()}

    def _by_child(self, row: Mapping[Any, Any]) -> str:
        """Return what is told of each child in the order of their new ids, where the split stands."""
        numbers = [each for each in str(row["children_markers"]).split(", ") if each]
        column = self._below.get(row["column"], "") if row["level"] else row["column"]
        parent = row["cluster"] if row["level"] else ""
        children = [each["cluster"] for each in self._clusters.get(column, ()) if each["parent"] == parent]
        if row["reason"] or len(children) != len(numbers):
            return str(row["children_markers"])
        labels = self._ids.get(column, NOTHING).labels
        order = sorted(range(len(children)), key=lambda at: in_order(labels.get(children[at], children[at])))
        return ", ".join(numbers[at] for at in order)


def _markers(adata: ad.AnnData, record: AdataRecord, ids: Mapping[str, LevelIds]) -> dict[str, pd.DataFrame]:
    """Return the table of markers, where there is one, under the new ids."""
    with IMPORTING:
        import pandas as pd

    place = markers_key(None if record.key == RECORD else record.key)
    if place not in adata.uns:
        return {}
    table: pd.DataFrame = adata.uns[place]

    def named(what: str, column_of: Callable[[str], str]) -> pd.Categorical[Any]:
        pairs = zip(map(str, table["column"]), map(str, table[what]), strict=True)
        return pd.Categorical([ids.get(column_of(name), NOTHING).labels.get(label, label) for name, label in pairs])

    above = {name: (record.rows.above(name)[-2:-1] or [""])[0] for name in ids}
    clusters, parents = named("cluster", lambda name: name), named("parent", lambda name: above.get(name, ""))
    return {place: table.assign(cluster=clusters, parent=parents)}
