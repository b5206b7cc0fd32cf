"""What SpatialData needs of a table: the columns that say which element a row annotates, and which part of it."""

from __future__ import annotations

from collections.abc import Mapping

from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.elements.reading import Root, obs_columns, read_uns, uns_keys

ATTRS = "spatialdata_attrs"


def spatialdata_columns(root: Root) -> tuple[str, ...]:
    """Return the obs columns of regions and instances that `uns['spatialdata_attrs']` names, if they are there.

    Without them a table with these attributes is none that SpatialData reads.
    """
    take_own(root, f"uns/{ATTRS}")
    if ATTRS not in uns_keys(root):
        return ()
    attrs = read_uns(root, ATTRS)
    named = [attrs.get(key) for key in ("region_key", "instance_key")] if isinstance(attrs, Mapping) else []
    there = obs_columns(root)
    return tuple(str(name) for name in dict.fromkeys(map(str, named)) if name in there)
