"""What a clustering writes into an AnnData in memory: the columns and the record that a result in a file has."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.colours.palette import color_entries, tree_palette
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.stored_graph import DEFAULT_REP
from cellstrata.tasks.results.provenance import column_facts, provenance
from cellstrata.tasks.results.result import Finished, columns, stability_in_obs, stability_in_obsm
from cellstrata.tasks.results.stability import cell_stability
from cellstrata.tasks.trees.labels import STABILITY

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

log = logging.getLogger("cellstrata")
COMMAND = "tl.cluster"
RECORD = "clustering"
NAMED = ("new", "groups")  # what a curation tells by column
OF_FILES = ("output_dir", "link", "dask", "input")  # of a configuration, which say nothing here


@dataclass(frozen=True, eq=False)
class Annotations:
    """New entries of obs (categoricals of text, or float32), obsm and uns, and what goes.

    `gone` are obs columns: deeper levels that an earlier call made of the same trees, which no longer are, and names
    that a curation gave to clusters that are others now. `stale` is the entry of uns with markers of other clusters,
    empty where there is none.
    """

    obs: Mapping[str, Any]
    obsm: Mapping[str, np.ndarray]
    uns: Mapping[str, Any]
    gone: tuple[str, ...]
    stale: str

    def write(self, adata: ad.AnnData) -> None:
        """Write them; everything else stays as it is. A view becomes an AnnData of its own, as anndata does it."""
        if self.gone:
            log.warning("%s: %s is removed: it was of clusters that are made anew", NAME, ", ".join(self.gone))
        for name, values in self.obs.items():
            adata.obs[name] = values
        for name in self.gone:
            del adata.obs[name]
            adata.uns.pop(f"{name}_colors", None)
        if self.stale:
            log.warning("%s: uns[%r] is removed: it was of other clusters", NAME, self.stale)
            del adata.uns[self.stale]
        for name, values in self.obsm.items():
            adata.obsm[name] = values
        for name, values in self.uns.items():
            adata.uns[name] = values


def annotations_of(finished: Finished, cache: Cache, adata: ad.AnnData, key_added: str | None = None) -> Annotations:
    """Return what a clustering adds to the AnnData that it is of; nothing is written yet.

    With `key_added` the record is under that key of uns, and the names of columns begin with it.

    Raises
    ------
    DamagedEntry
        If a split is gone from the cache since the run began.
    """
    named = _names(key_added)
    facts = column_facts(finished.trees)
    labels = columns(finished.trees)
    stability = cell_stability(finished.trees, cache)
    configuration = {name: value for name, value in finished.configuration.items() if name not in OF_FILES}
    record = provenance(
        configuration, finished.source.identity, finished.trees, neighbors_key=finished.source.neighbors_key,
        graph=finished.graph, publish_key=finished.key(), created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=COMMAND, stability=list(stability), advice=finished.advice, match=finished.match,
    )  # fmt: skip
    colors = color_entries(tree_palette(record["tree"], facts), labels)
    pca = {} if finished.pca is None else {DEFAULT_REP: np.asarray(cache.get(finished.pca))}
    made = {named(name): _inferred(values) for name, values in labels.items()}
    obs = {**made, **{named(name): values for name, values in stability_in_obs(finished, stability).items()}}
    earlier: Any = adata.uns.get(key_added or RECORD)
    curation, unnamed = _curation(earlier, adata, made)
    return Annotations(
        obs=obs,
        obsm={**pca, **{of_key(STABILITY, key_added): values for values in stability_in_obsm(stability).values()}},
        uns={
            key_added or RECORD: _renamed(record, named) | curation,
            **{named(name): value for name, value in colors.items()},
        },
        gone=(*_gone(earlier, set(adata.obs.columns), obs), *unnamed),
        stale=stale_markers(adata, key_added, record["publish_key"]),
    )


def stale_markers(adata: ad.AnnData, key_added: str | None, publish_key: object) -> str:
    """Return the entry of uns that has markers of other clusters than those of `publish_key`, empty without any."""
    earlier: Any = adata.uns.get(key_added or RECORD)
    same = isinstance(earlier, Mapping) and str(earlier.get("publish_key")) == publish_key
    return markers if (markers := markers_key(key_added)) in adata.uns and not same else ""


def markers_key(key_added: str | None) -> str:
    """Return the key of uns under which the markers of a clustering are."""
    return f"{key_added or RECORD}_markers"


def _inferred(values: pd.Categorical[Any]) -> pd.Categorical[Any]:
    """Return labels with categories of the dtype that pandas has for text, `str` from 3 on, as anndata reads them."""
    with IMPORTING:
        import pandas as pd

    return values.rename_categories(pd.Index(list(values.categories)))


def _names(key_added: str | None) -> Callable[[str], str]:
    return lambda name: of_key(name, key_added)


def of_key(name: str, key_added: str | None) -> str:
    """Return what a column, or the stability of cells, is called under a `key_added`."""
    return name if key_added is None else f"{key_added}_{name}"


def _renamed(record: Mapping[str, Any], named: Callable[[str], str]) -> dict[str, Any]:
    """Return a record that tells of its columns by the names that they have in obs."""
    tree: pd.DataFrame = record["tree"]
    said = {
        "columns": json.dumps({named(name): of for name, of in json.loads(record["columns"]).items()}, sort_keys=True)
    }
    if "stability" in record:
        said["stability"] = json.dumps([named(name) for name in json.loads(record["stability"])])
    return {**record, **said, "tree": tree.assign(column=tree["column"].map(named))}


def _gone(record: Any, there: set[str], made: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns of an earlier call that are of a tree that is made anew, and are not made again."""
    if not isinstance(record, Mapping) or "columns" not in record:
        return ()
    trees = {name.rpartition("_")[0] for name in made}
    earlier = json.loads(str(record["columns"]))
    return tuple(name for name in earlier if name in there and name not in made and name.rpartition("_")[0] in trees)


def _curation(record: Any, adata: ad.AnnData, made: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the entry of names that a curation gave to clusters which stay, and the columns of names of others.

    Clusters stay where each cell has the label that it had.
    """
    entries = json.loads(str(record["curation"])) if isinstance(record, Mapping) and "curation" in record else []
    given = {column: new for entry in entries for column, new in entry.get("new", {}).items()}
    stale = {
        column
        for column in given
        if column in made
        and not (
            column in adata.obs
            and np.array_equal(np.asarray(obs_column(adata, column).astype(str)), made[column].astype(str))
        )
    }
    kept = [
        {**entry, **{of: {name: told for name, told in entry.get(of, {}).items() if name not in stale} for of in NAMED}}
        for entry in entries
    ]
    kept = [entry for entry in kept if entry["new"]]
    gone = tuple(name for column in sorted(stale) for name in given[column] if name in adata.obs)
    return ({"curation": json.dumps(kept, ensure_ascii=False)} if kept else {}), gone
