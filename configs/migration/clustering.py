"""The keys under `clustering` of scAtlasTb, in the spelling of this schema."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from cellstrata.configs.clustering import ClusteringConfig, PlotsConfig
from cellstrata.configs.clustering_args import ALLOWED
from cellstrata.configs.errors import Path
from cellstrata.configs.migration.hierarchy import migrated_hierarchy
from cellstrata.configs.migration.notes import Notes
from cellstrata.configs.migration.values import Note, as_number, as_switch
from cellstrata.configs.neighbors import NeighborsConfig

_SWITCHES = ("recompute_neighbors", "recompute_umap", "overwrite", "use_gpu")
_NUMBERS = ("resolutions", "n_cell_cpu", "n_neighbors", "n_pcs")
_SECTIONS = {
    "neighbors": tuple(NeighborsConfig.model_fields),
    "plots": tuple(PlotsConfig.model_fields),
    "clustering_args": ALLOWED,
}


def migrated_clustering(
    written: Mapping[Any, Any], below: Mapping[str, Any], notes: Notes, path: Path, may_lift: bool
) -> dict[str, Any]:
    """Rewrite the section at `path`, which stands over `below`, that of the old file's defaults.

    `may_lift` says that no other hierarchy than this section's depends on its other keys. What is wrong is
    left as it is, for the validation.
    """
    result: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    missing = [name for name in ("algorithm", "resolutions") if name not in written and name not in below]
    for key, value in written.items():
        name = str(key)
        note = _noting(notes, (*path, name))
        if name not in ClusteringConfig.model_fields:
            if not notes.drops((*path, name), ClusteringConfig.model_fields, missing):
                result[name] = copy.deepcopy(value)
        elif name == "hierarchy":
            alone = may_lift and not _says_engine(written) and not _says_engine(below)
            hierarchy = migrated_hierarchy(value, below.get(name), alone, note)
            arguments = hierarchy.arguments
            if hierarchy.value is not None:
                result[name] = hierarchy.value
            elif below.get(name) is not None:
                result[name] = 1  # or the depth of the defaults would hold
        elif value is None:
            if below.get(name) is not None:
                result[name] = _nothing(name)
        elif name in _SECTIONS and isinstance(value, Mapping):
            result[name] = _section(name, value, notes, (*path, name))
        else:
            result[name] = _value(name, value, note)
    if arguments:
        result["clustering_args"] = {**(result.get("clustering_args") or {}), **arguments}
    return result


def _section(name: str, written: Mapping[object, object], notes: Notes, path: Path) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, value in written.items():
        here = (*path, str(key))
        if str(key) in _SECTIONS[name]:
            kept[str(key)] = _value(str(key), value, _noting(notes, here))
        else:
            notes.drops(here, _SECTIONS[name])
    return kept


def _value(name: str, value: object, note: Note) -> object:
    if name in _SWITCHES:
        return as_switch(value, note)
    return copy.deepcopy(as_number(value, note) if name in _NUMBERS else value)


def _nothing(name: str) -> object:
    """Return what an empty value stands for, which goes over the defaults too."""
    default = ClusteringConfig.model_fields[name].default
    return default if isinstance(default, int) else None


def _says_engine(section: Mapping[Any, object]) -> bool:
    arguments = section.get("clustering_args")
    given = arguments if isinstance(arguments, Mapping) else {}
    return "engine" in section or "flavor" in given or "use_weights" in given


def _noting(notes: Notes, path: Path) -> Note:
    return lambda text: notes.add(path, text)
