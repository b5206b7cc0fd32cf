"""Where the same words give another result than they did with scAtlasTb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellstrata.configs.errors import ConfigError, Path
from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.configs.loading.yaml_writer import inline
from cellstrata.configs.migration.hierarchy import level_map
from cellstrata.configs.migration.notes import Notes

# What scAtlasTb took for a new graph unless told.
_NEW_GRAPH = {"n_neighbors": 15, "use_rep": "X_pca"}


def note_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], below: Mapping[str, object], notes: Notes, path: Path
) -> None:
    """Note what a dataset's clustering does otherwise.

    `old` is the whole section as scAtlasTb read it, over its defaults; `new` is the section at `path` as it
    is rewritten, and `below` the rewritten defaults.
    """
    whole = {**below, **new}
    recomputed = whole.get("recompute_neighbors") is True
    algorithm = whole.get("algorithm")
    if "louvain" in (algorithm if isinstance(algorithm, list) else [algorithm]):
        text = "on CPUs, scAtlasTb's louvain ignored the resolution; here it counts, so labels will differ."
        notes.add((*path, "algorithm"), text)
    if recomputed and whole.get("neighbors_key") not in (None, "neighbors"):
        text = "scAtlasTb built a new graph and clustered this stored one; here the new graph is clustered."
        notes.add((*path, "neighbors_key"), text)
    levels = level_map(old.get("hierarchy"))
    of_ours = isinstance(old.get("hierarchy"), Mapping) and levels is None
    if recomputed or (not of_ours and _depth(whole.get("hierarchy")) > 1):
        _note_new_graphs(new.get("neighbors"), below.get("neighbors"), notes, path)
    first = whole["hierarchy"]["levels"].get(1) if levels else None
    if _has_resolution(first) and _several(whole.get("resolutions")):
        text = "level 1 has a resolution of its own, so its columns are the same for all `resolutions`, as before."
        notes.add((*path, "hierarchy"), text)


def _note_new_graphs(own: object, below: object, notes: Notes, path: Path) -> None:
    if own is False or (own is None and below is False):
        return
    own, below = (section if isinstance(section, Mapping) else {} for section in (own, below))
    absent = {key: value for key, value in _NEW_GRAPH.items() if {**below, **own}.get(key) is None}
    if absent:
        given = {key: value for key, value in own.items() if value is not None}
        text = (
            "what is not given here, new graphs (recomputed, and of deeper levels) take from the record of the stored "
            f"one in `uns`; for what scAtlasTb took, write `neighbors: {inline({**given, **absent})}`."
        )
        notes.add((*path, "neighbors"), text)


def _depth(hierarchy: object) -> int:
    try:
        return Hierarchy.parse(hierarchy).depth
    except ConfigError:
        return 1


def _has_resolution(parameters: object) -> bool:
    return "resolution" in parameters if isinstance(parameters, Mapping) else parameters is not None


def _several(resolutions: object) -> bool:
    return isinstance(resolutions, list) and len(resolutions) > 1
