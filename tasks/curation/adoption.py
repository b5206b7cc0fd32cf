"""Label columns of an annotated atlas as a tree: the record that makes cell types, coarse to fine, clusters of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.configs.errors import did_you_mean, listed
from cellstrata.tasks.colours.palette import MISSING, Palette, tree_palette
from cellstrata.tasks.elements.adata_columns import obs_column
from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.evaluation.covariates import BLANK, Categories, categories_of
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.results.annotations import RECORD, Annotations, stale_markers
from cellstrata.tasks.results.provenance import table_of_rows, versions
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.trees.column_facts import ColumnFacts
from cellstrata.tasks.trees.nesting import NotNested, Straddling, parents_of
from cellstrata.tasks.trees.plan import LAST_LEVEL

if TYPE_CHECKING:
    import anndata as ad

COMMAND = "tl.adopt"
NO_FINER = "no finer labels"
MOST_NAMES = 8


def adoption(adata: ad.AnnData, columns: Sequence[str], key_added: str | None = None) -> Annotations:
    """Return the record of a tree whose clusters are the labels of obs columns, coarse to fine; nothing is written yet.

    No column changes. A cell without a value ends at the level above; labels that no cell has are passed over. Colors
    of the tree go to `uns['<column>_colors']` of categoricals that have none.

    Raises
    ------
    InputError
        If a column is not there, holds numbers or no label, is named twice, or a label does not lie within one label of
        the column before it; or if another record stands where this one would.
    """
    names = _names(adata, columns)
    _check_place(adata, key_added or RECORD)
    levels = [_labels(adata, name) for name in names]
    parents = [np.full(len(levels[0].labels), -1, np.int32)]
    parents += [_parents(above, below) for above, below in pairwise(levels)]
    facts = {
        one.name: ColumnFacts(
            level=number + 1, n_clusters=len(one.labels), above=levels[number - 1].name if number else None
        )
        for number, one in enumerate(levels)
    }
    tree = table_of_rows(_rows(levels, parents, adata.n_obs))
    record = {
        "made_by": MADE_BY,
        "command": COMMAND,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "publish_key": digest_values(adopted=[[one.name, list(one.labels), digest_array(one.codes)] for one in levels]),
        "configuration": "{}",
        "input": "{}",
        "versions": json.dumps(versions(), sort_keys=True),
        "columns": json.dumps({name: one.to_json() for name, one in facts.items()}, sort_keys=True),
        "tree": tree,
    }
    return Annotations(
        obs={}, obsm={},
        uns={key_added or RECORD: record, **_colors(adata, names, tree_palette(tree, facts))},
        gone=(), stale=stale_markers(adata, key_added, record["publish_key"]),
    )  # fmt: skip


def _names(adata: ad.AnnData, columns: Sequence[str]) -> list[str]:
    names = list(columns)
    if not names:
        raise InputError(NAME, "obs", "`columns` names none: give the label columns, the coarsest first")
    for name in names:
        if name not in adata.obs:
            hint = did_you_mean(name, map(str, adata.obs)) or f"obs has {listed(list(map(str, adata.obs)), MOST_NAMES)}"
            raise InputError(NAME, f"obs[{name!r}]", f"is not there; {hint}")
        if names.count(name) > 1:
            raise InputError(NAME, f"obs[{name!r}]", "is named twice; name each column once, the coarsest first")
    return names


def _check_place(adata: ad.AnnData, key: str) -> None:
    """Refuse to take the place of anything but an earlier adoption."""
    found: Any = adata.uns.get(key)
    if found is None or (isinstance(found, Mapping) and str(found.get("command")) == COMMAND):
        return
    ours = isinstance(found, Mapping) and str(found.get("made_by")) == MADE_BY
    what = "tells of clusters that would be lost" if ours else "is there and was not made by cellstrata"
    raise InputError(NAME, f"uns[{key!r}]", f"{what}; give the adopted tree a key of its own: `key_added='types'`")


def _labels(adata: ad.AnnData, name: str) -> Categories:
    column = obs_column(adata, name)
    if column.dtype.kind == "f":
        raise InputError(NAME, f"obs[{name!r}]", "holds numbers, not labels; name a column of labels")
    found = categories_of(column, name)
    if not found.labels:
        raise InputError(NAME, f"obs[{name!r}]", "has no value for any cell; name a column of labels")
    if BLANK in found.labels:
        raise InputError(NAME, f"obs[{name!r}]", "has a label without a letter; give its cells a name, or no value")
    return found


def _parents(above: Categories, below: Categories) -> np.ndarray:
    try:
        return parents_of(above.codes, below.codes, len(below.labels))
    except NotNested as error:
        raise InputError(NAME, f"obs[{below.name!r}]", _not_nested(above, below, error.straddling)) from None


def _not_nested(above: Categories, below: Categories, found: Straddling) -> str:
    label, at = below.labels[found.label], f"adata.obs[{below.name!r}]"
    remove = f"take it away: `{at} = {at}.where({at} != {label!r})`"
    if found.second < 0:
        return (
            f"{label!r} has {_cells(found.cells_second)} without a value in obs[{above.name!r}]; give them one, or, if "
            f"the label means that a cell has no type, {remove}"
        )
    first, second = above.labels[found.first], above.labels[found.second]
    return (
        f"is not nested in obs[{above.name!r}]: {label!r} is within {first!r} ({_cells(found.cells_first)}) and "
        f"{second!r} ({_cells(found.cells_second)}); name the coarsest column first, give its cells labels that lie "
        f"within one, or, if the label means that a cell has no type, {remove}"
    )


def _cells(n: int) -> str:
    return f"{n:,} cell{'s'[: n != 1]}"


def _rows(levels: Sequence[Categories], parents: Sequence[np.ndarray], n_cells: int) -> Iterator[dict[str, object]]:
    """Yield the rows of the tree, one for all cells and one for each label, families together."""
    yield {"column": levels[0].name, "cluster": "all", "n_cells": n_cells, "n_children": len(levels[0].labels)}
    for number, one in enumerate(levels):
        last, n_labels, counts = number + 1 == len(levels), len(one.labels), one.counts()
        children = np.zeros(n_labels, int) if last else np.bincount(parents[number + 1], minlength=n_labels)
        for label in np.argsort(parents[number], kind="stable").tolist():
            yield {
                "column": one.name, "cluster": one.labels[label], "level": number + 1,
                "parent": levels[number - 1].labels[parents[number][label]] if number else "",
                "n_cells": int(counts[label]), "n_children": int(children[label]),
                "reason": LAST_LEVEL if last else "" if children[label] else NO_FINER,
            }  # fmt: skip


def _colors(adata: ad.AnnData, names: Sequence[str], palette: Palette) -> dict[str, Any]:
    """Return colors in the order of the categories, of categoricals that have none."""
    found = {}
    for name in names:
        column = obs_column(adata, name)
        if column.dtype.name == "category" and f"{name}_colors" not in adata.uns:
            own = palette[name]
            colors = [own.get(str(label), MISSING) for label in column.cat.categories]
            found[f"{name}_colors"] = np.array(colors, dtype=object)
    return found
