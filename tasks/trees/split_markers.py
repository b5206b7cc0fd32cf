"""The genes that tell the children of a split apart: their key, and what the cache has of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cellstrata.tasks.cache.cache import Cache, Record
from cellstrata.tasks.kernels.versions import installed_version
from cellstrata.tasks.markers.child_markers import SCHEME, ChildMarkers
from cellstrata.tasks.stores.digest import digest_array, digest_values
from cellstrata.tasks.trees.plan import TreePlan
from cellstrata.tasks.trees.split import NodeSplit
from cellstrata.tasks.trees.tree import Pending, Rows

KIND: Final = "child_markers"
PACKAGES = ("numpy", "scipy")  # whose versions can change a number
log = logging.getLogger("cellstrata.cache")


@dataclass(frozen=True)
class UntoldSplit:
    """A split whose children are yet to be told apart by genes: the key of what is found, the cells' numbers, (n,)
    int32, and the split itself."""

    key: str
    rows: Rows
    split: NodeSplit

    @classmethod
    def of(cls, plan: TreePlan, pending: Pending, split: NodeSplit) -> UntoldSplit:
        """Take it from a tree."""
        return cls(markers_key(plan, pending, split), pending.node.rows, split)


def markers_key(plan: TreePlan, pending: Pending, split: NodeSplit) -> str:
    """Return the key of the markers of a split's children: the values, the cells, and which child each is of.

    No bound is part of it.
    """
    assert plan.expression is not None
    return digest_values(
        kind=KIND,
        scheme=SCHEME,
        expression=plan.expression,
        rows=digest_array(pending.node.rows),
        labels=split.record.array("labels").digest,
        versions={name: installed_version(name) for name in PACKAGES},
    )


def find_markers(
    plan: TreePlan, pending: Pending, split: NodeSplit, cache: Cache
) -> tuple[ChildMarkers, Record] | None:
    """Return the markers of a split's children that the cache has, and their record; None too where the values of the
    plan are not known."""
    if plan.expression is None:
        return None
    record = cache.find(markers_key(plan, pending, split), KIND)
    return None if record is None else _read(record, split.facts.sizes, cache)


def _read(record: Record, sizes: Sequence[int], cache: Cache) -> tuple[ChildMarkers, Record] | None:
    try:
        arrays = {name: cache.array(record, name) for name in ("lengths", "log_fold_changes")}
        return ChildMarkers.from_arrays(sizes, **arrays), record
    except (KeyError, ValueError) as error:
        log.warning("cache entry %s in %s is damaged (%s): computed again", record.key, cache.store.url, error)
        return None
