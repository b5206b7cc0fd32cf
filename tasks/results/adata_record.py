"""What `cs.tl.cluster` left in an AnnData, or a run in a result that was read: its tree, columns, colours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.advice.advice import Advice, advice_of_json
from cellstrata.tasks.colours.palette import Palette, tree_palette
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.markers.contrasts import ClusterColumn
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.results.annotations import RECORD, of_key
from cellstrata.tasks.results.provenance import completed_table
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.trees.column_facts import ColumnFacts, columns_of_json
from cellstrata.tasks.trees.ids import COLUMNS as OF_IDS
from cellstrata.tasks.trees.labels import STABILITY
from cellstrata.tasks.trees.rows import TreeRows

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

MOST_NAMES = 8
SHOWN = ("column", "cluster", "parent", "level", "n_cells", "n_children", "reason", "resolution", "modularity")
WHERE_KNOWN = ("stability", "agreement", "replicability", "expected", "p", "purity", "separation", "markers")


@dataclass(frozen=True, eq=False)
class AdataRecord:
    """The record under `key` of an AnnData's uns: its tree, one row a cluster, and the facts of its columns.

    `n_cells` of the tree are those that obs has now: `recounted` tells that cells were taken away, or came, since.
    """

    adata: ad.AnnData
    key: str
    tree: pd.DataFrame
    facts: Mapping[str, ColumnFacts]
    recounted: bool = False

    @classmethod
    def of(cls, adata: ad.AnnData, key: str | None = None) -> AdataRecord:
        """Read it. Raises InputError if there is none."""
        place = key or RECORD
        found = adata.uns.get(place)
        table = completed_table(found.get("tree")) if isinstance(found, Mapping) else None
        if table is None or str(found.get("made_by")) != MADE_BY:
            raise InputError(
                NAME, f"uns[{place!r}]", "has no clusters of cellstrata: call `cs.tl.cluster(adata)` first"
            )
        now = _recounted(adata, table)
        changed = not np.array_equal(now, table["n_cells"])
        facts = columns_of_json(json.loads(str(found.get("columns", "{}"))))
        return cls(adata, place, table.assign(n_cells=now) if changed else table, facts, changed)

    @cached_property
    def rows(self) -> TreeRows:
        """The rows of the tree, to be asked."""
        return TreeRows(self.tree, self.facts)

    @cached_property
    def palette(self) -> Palette:
        """The colour of each cluster, by column and label."""
        return tree_palette(self.tree, self.facts)

    @property
    def advice(self) -> tuple[Advice, ...]:
        """Which resolution to take, by algorithm; empty where it does not tell, or not in today's words."""
        return advice_of_json(self.text("advice"))

    def text(self, name: str) -> str | None:
        """Return an entry of the record that is a text, None where it is not there."""
        found: Any = self.adata.uns[self.key].get(name)
        return None if found is None else str(found)

    @property
    def columns(self) -> list[str]:
        """The columns of clusters that obs still has, in the tree's order."""
        return [str(name) for name in dict.fromkeys(self.tree["column"]) if name in self.adata.obs]

    def column(self, name: str | None) -> str:
        """Return the name of a column, by default that of the first tree's last level. Raises InputError."""
        there = self.columns
        if name in there:
            return str(name)
        if name is None and there:
            first = there[0]
            return [each for each in there if self.rows.above(each)[0] == first][-1]
        hint = did_you_mean(name, there) or f"it has {listed(there, MOST_NAMES) or 'none'}"
        raise InputError(NAME, f"obs[{name!r}]", f"is no column of uns[{self.key!r}]; {hint}")

    def table(self, column: str | None = None) -> pd.DataFrame:
        """Return the tree of a column from level 1 down to it, or all trees: one row a cluster.

        `column`, `cluster`, `parent`, `level`, `n_cells`, `n_children`, `reason`, `resolution`, `modularity`, and of
        stability and evidence what was gathered; of ids after an earlier result what each cluster was there.
        """
        tree = self.tree[self.tree["level"] > 0]
        if column is not None:
            tree = tree[tree["column"].isin(self.rows.above(self.column(column)))]
        known = [name for name in WHERE_KNOWN if tree[name].notna().any()]
        known += [name for name in OF_IDS if name in tree]
        return tree[[*SHOWN, *known]].reset_index(drop=True)

    def clusters(self, column: str) -> ClusterColumn:
        """Return a column as clusters with their parents; categories without a cell are none."""
        values, rows = obs_column(self.adata, column).astype("category"), self.rows.clusters(column)
        values = values.cat.remove_unused_categories()
        labels = tuple(str(label) for label in values.cat.categories)
        parents = tuple(str(rows[label]["parent"]) if label in rows else "" for label in labels)
        return ClusterColumn(column, values.cat.codes.to_numpy().astype(np.int32), labels, parents)

    def known_clusters(self, column: str) -> ClusterColumn:
        """Return a column as `clusters` does; raises InputError if it has labels that its tree does not tell of."""
        found, known = self.clusters(column), self.rows.clusters(column)
        strange = [label for label in found.labels if label not in known]
        if strange:
            message = f"has {listed(strange, 4)}, which uns[{self.key!r}] does not tell of: it has changed since"
            raise InputError(NAME, f"obs[{column!r}]", message)
        return found

    def stability(self, column: str) -> np.ndarray | None:
        """Return how far other seeds find the cluster of each cell, (n,) float32; None for single runs."""
        names = json.loads(self.text("stability") or "[]")
        values = self.adata.obsm.get(of_key(STABILITY, None if self.key == RECORD else self.key))
        if column not in names or values is None or values.shape != (self.adata.n_obs, len(names)):
            return None
        return np.asarray(values)[:, names.index(column)]


def _recounted(adata: ad.AnnData, table: pd.DataFrame) -> np.ndarray:
    """Return how many cells each cluster of a tree has in obs now, int64; as recorded where obs lacks the column."""
    now = table["n_cells"].to_numpy(np.int64, copy=True)
    for name in dict.fromkeys(table["column"]):
        own = (table["column"] == name).to_numpy()
        if name not in adata.obs:
            continue
        counts = {str(label): int(n) for label, n in obs_column(adata, name).value_counts().items()}
        now[own] = [
            counts.get(str(label), 0) if level else adata.n_obs
            for label, level in zip(table.loc[own, "cluster"], table.loc[own, "level"], strict=True)
        ]
    return now
