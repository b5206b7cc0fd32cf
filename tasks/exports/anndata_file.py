"""The h5ad that exports begin with: all that the result holds, and of ours the columns that are exported."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.reading import obsm_shapes, read_obs_column, read_obsm, read_uns, uns_keys
from cellstrata.tasks.exports.levels import Exported, Level
from cellstrata.tasks.exports.tables import columns_of
from cellstrata.tasks.publishing.materialize import materialize
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from cellstrata.tasks.trees.labels import STABILITY, STABILITY_SUFFIX

UNS = "clustering"
OF_ONE_PLACE = ("publish_key", "stability")  # of the record: what says that it is the result itself, and what moves


@dataclass(frozen=True, eq=False)
class Additions:
    """Further entries of obs, (n,), and of uns."""

    obs: Mapping[str, Any] = field(default_factory=dict)
    uns: Mapping[str, Any] = field(default_factory=dict)


def write_anndata(
    found: Exported, place: Place, more: Additions | None = None, finish: Callable[[Path], None] | None = None
) -> tuple[str, ...]:
    """Write an h5ad with the exported columns, each with its colors, in one step; return the names of the columns.

    The columns are categoricals of strings, and each of their categories has a cell. Columns of ours that are not
    exported are left out. The stability of cells is in columns of obs. `more` is added, and `finish` may change the
    file before it is at its place.
    """
    more = more or Additions()
    columns = columns_of(found)
    gone = [name for name in found.own() if name not in columns]
    source = found.record.source
    with source.root() as root, reading(found.record.url, "uns"):
        there, stable = uns_keys(root), STABILITY in obsm_shapes(root)
        record = {name: value for name, value in read_uns(root, UNS).items() if name not in OF_ONE_PLACE}
    removed = [f"uns/{name}_colors" for name in gone if f"{name}_colors" in there]
    removed += [f"obsm/{STABILITY}"] * stable
    obs = {**_changed(found, columns), **(_stability(found) if stable else {}), **more.obs}
    uns = {**_colors(found), UNS: record, **more.uns}
    beside = Path(place.store.root).parent if place.is_local else None
    if beside is not None:
        beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".cellstrata-", dir=beside) as folder:
        linked, made = place.at(os.path.join(folder, "linked.zarr")), Path(folder) / "made.h5ad"
        publish(source, linked, obs=obs, uns=uns, left_out=gone, removed=removed)
        materialize(linked.url, made, storage_options=place.options)
        if finish is not None:
            finish(made)
        if place.is_local:
            os.replace(made, place.store.root)
        else:
            Store(str(made)).copy_to("", place.store)
    return tuple(columns)


def _changed(found: Exported, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that do not stand in the result as they are exported."""
    changed = {}
    with found.record.source.root() as root:
        for name, values in columns.items():
            with reading(found.record.url, f"obs[{name!r}]"):
                stored = read_obs_column(root, name)
            same = stored.dtype.name == "category" and list(stored.cat.categories) == list(values.categories)
            if not (same and np.array_equal(stored.cat.codes, values.codes)):
                changed[name] = values
    return changed


def _colors(found: Exported) -> dict[str, Any]:
    """Return the colors of each column, in the order of its categories."""
    levels: list[Level] = []
    for column in found.columns:
        clusters = found.clusters(column)
        names = found.named(clusters)
        levels += [clusters, *([names] if names is not None else [])]
    return {f"{level.column}_colors": np.array(level.colors, dtype=object) for level in levels}


def _stability(found: Exported) -> dict[str, Any]:
    """Return how far other seeds find the cluster of each cell, (n,) float32, of the columns that have it in obsm."""
    known: list[str] = json.loads(found.record.texts.get("stability", "[]"))
    with found.record.source.root() as root, reading(found.record.url, f"obsm[{STABILITY!r}]"):
        values = read_obsm(root, STABILITY)
    return {
        f"{column}{STABILITY_SUFFIX}": np.ascontiguousarray(values[:, known.index(column)])
        for column in found.columns
        if column in known and not np.isnan(values[:, known.index(column)]).all()
    }
