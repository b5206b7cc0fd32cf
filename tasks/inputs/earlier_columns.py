"""Columns that an earlier run made: clusters of other cells, or of another tree, under names that this run may give."""

from __future__ import annotations

import json
import re
from typing import Any

from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import Root
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.inputs.checks import Check, columns_of
from cellstrata.tasks.overlays.document import MADE_BY
from cellstrata.tasks.trees.labels import STABILITY_SUFFIX

OF_A_LEVEL = re.compile(r"(leiden|louvain)_[0-9.e+-]+_[0-9]+")


def earlier_columns(check: Check) -> frozenset[str]:
    """Return the obs columns that an earlier run made and this one does not make, with a notice.

    They are those that the input's own `uns['clustering']` tells of. With `overwrite: false` all are kept. A column
    below one that is made here, of which nothing is told, is kept and named in a notice. Columns of stability go
    with those of the clusters.
    """
    if check.config.overwrite is False:
        return frozenset()
    sweeps = not check.config.listed_resolutions
    open_end = check.config.hierarchy.until_stable or sweeps  # not all that is made is known, but level 1 where listed
    made = [name for name in columns_of(check.config) if not open_end or name.endswith("_1")]
    there = [name for name in elements.obs_columns(check.root) if name not in made]
    if "clustering" not in elements.uns_keys(check.root) and any(map(OF_A_LEVEL.fullmatch, there)):
        take_own(check.root, "uns/clustering")  # it may be younger than the consolidated metadata
    told = _told(check.root)
    earlier = [name for name in there if name.removesuffix(STABILITY_SUFFIX) in told]
    gone = [name for name in earlier if name.removesuffix(STABILITY_SUFFIX) not in made]
    if gone:
        why = ", unless this one makes them too" if open_end else " and this one does not"
        check.notices.append(f"left out, since an earlier run made them{why}: {', '.join(gone)}")
    trees = {name.rpartition("_")[0] for name in made}
    known = [name for name in there if name not in told and OF_A_LEVEL.fullmatch(name)]
    unknown = [name for name in known if sweeps or name.rpartition("_")[0] in trees]
    if unknown:
        which = "unless made here, and not of a tree" if sweeps else "though not of the tree"
        check.notices.append(f"kept from the input, {which} that is made here: {', '.join(unknown)}")
    return frozenset(earlier)


def _told(root: Root) -> set[str]:
    """Return the columns of runs that the input's record tells of, and of those that `collect` put together."""
    record = root["uns/clustering"] if "clustering" in elements.uns_keys(root) else {}
    if "made_by" not in record or _text(record["made_by"]) != MADE_BY:
        return set()
    columns = json.loads(_text(record["columns"])) if "columns" in record else {}
    collected = json.loads(_text(record["collected"])) if "collected" in record else []
    names = [str(name) for each in collected for name in each["columns"]]
    return {*columns, *(name for name in names if OF_A_LEVEL.fullmatch(name))}


def _text(node: Any) -> str:
    value = node[()]
    return value.decode() if isinstance(value, bytes) else str(value)
