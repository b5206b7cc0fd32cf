"""`hierarchy` of scAtlasTb, whose code read the keys of a mapping as levels, in the spelling of this schema."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cellstrata.configs.clustering_args import FLAVORS
from cellstrata.configs.errors import shown
from cellstrata.configs.hierarchy import LevelParameters
from cellstrata.configs.loading.yaml_writer import inline
from cellstrata.configs.migration.notes import is_slip
from cellstrata.configs.migration.values import Note, as_number

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_TEXTS = ("use_rep", "metric")
# Arguments of the partition that hold for all levels here, with what they are unless given.
_FOR_ALL_LEVELS: dict[str, object] = {"flavor": "igraph", "use_weights": True}


@dataclass
class MigratedHierarchy:
    """What to write: a hierarchy, or None for one level, and arguments that are the same at every level."""

    value: Any
    arguments: dict[str, Any] = field(default_factory=dict)


def level_map(written: object) -> dict[int, object] | None:
    """Return a mapping that scAtlasTb read as levels, by number; None for anything else, as `{"3_0": 0.4}`."""
    if not isinstance(written, Mapping) or not written:
        return None
    levels: dict[int, object] = {}
    for key, value in written.items():
        plain = not isinstance(key, bool) and _NUMBER.fullmatch(str(key))
        if not plain or int(key) < 1 or int(key) in levels:
            return None
        levels[int(key)] = value
    return levels


def migrated_hierarchy(written: Any, default: object, may_lift: bool, note: Note) -> MigratedHierarchy:
    """Rewrite a hierarchy that stands over `default` (as the old file has it).

    `may_lift` says that arguments given at every level may be written for the whole dataset. What is wrong
    is left as it is, for the validation.
    """
    levels = level_map(written)
    if levels is not None:
        below = level_map(default) or {}
        if below.keys() - levels.keys():
            levels = dict(sorted({**below, **levels}.items()))
            note("scAtlasTb mixed in the levels of `defaults`, which are replaced as a whole here: all are written.")
        return _from_levels(levels, may_lift, note)
    if written is None or isinstance(written, (Mapping, float)):
        return MigratedHierarchy(copy.deepcopy(written))
    if written is True:
        note("`true` meant one level, which needs no `hierarchy`.")
        return MigratedHierarchy(None)
    depth = _depth(written, note)
    if depth is None:
        return MigratedHierarchy(written)
    if depth < 1:
        note(f"{shown(written)} gave a column of level `nan`; one level needs no `hierarchy`.")
        return MigratedHierarchy(None)
    return MigratedHierarchy(depth)


def _depth(written: object, note: Note) -> int | None:
    if isinstance(written, list):
        if written:
            levels = inline({"levels": dict(enumerate(written, start=1))})
            note(
                f"scAtlasTb took the length of the list as the depth and ignored its values; "
                f"if these are resolutions of levels, write `hierarchy: {levels}`."
            )
        return len(written)
    if isinstance(written, str):
        return int(written) if re.fullmatch(r"\s*[-+]?[0-9]{1,9}\s*", written, re.ASCII) else None
    return int(written) if isinstance(written, int) else None


def _from_levels(levels: Mapping[int, object], may_lift: bool, note: Note) -> MigratedHierarchy:
    for_all: dict[str, dict[int, object]] = {}
    new = {level: _parameters(level, value, for_all, note) for level, value in levels.items()}
    note(
        "scAtlasTb's code read these keys as levels, so they are written as levels; its documentation said "
        f"clusters, and if these were meant, write `hierarchy: {inline({'clusters': new})}`."
    )
    result = MigratedHierarchy({"levels": new})
    for name, by_level in for_all.items():
        first, *others = by_level.values()
        everywhere = len(by_level) == max(levels) and all(other == first for other in others)
        fits = first in FLAVORS if name == "flavor" else isinstance(first, bool)
        if everywhere and fits and may_lift:
            result.arguments[name] = first
            note(f"`{name}` is the same at every level, and written once, in `clustering_args`.")
        elif all(value == _FOR_ALL_LEVELS[name] for value in by_level.values()):
            note(f"`{name}` is dropped: its value is the default.")
        else:
            note(f"`{name}` is dropped: it cannot differ between levels; see `clustering_args`.")
    return result


def _parameters(level: int, value: object, for_all: dict[str, dict[int, object]], note: Note) -> object:
    if not isinstance(value, Mapping):
        return as_number(value, note)
    kept: dict[str, object] = {}
    for key, inner in value.items():
        name = "seed" if key == "random_state" and "seed" not in value else str(key)
        if name in _FOR_ALL_LEVELS:
            for_all.setdefault(name, {})[level] = inner
        elif name in LevelParameters.model_fields:
            kept[name] = inner if name in _TEXTS else as_number(inner, note)
        elif is_slip(name, LevelParameters.model_fields):
            kept[name] = copy.deepcopy(inner)  # a slip, which scAtlasTb refused too
        else:
            note(f"`{name}` is dropped: it is no parameter of a level.")
    return kept
