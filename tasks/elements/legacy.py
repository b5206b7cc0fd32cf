"""Dataframes as anndata wrote them before 0.8: one table of records, or codes beside `__categories`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.elements.silence import quiet
from cellstrata.tasks.elements.storage_nodes import attrs_of, is_array, sparse_format
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import pandas as pd

    from cellstrata.tasks.elements.opening import Root


def is_legacy_frame(node: object) -> bool:
    """Tell whether a stored dataframe is of an old form, to be read and written whole."""
    return is_array(node) or attrs_of(node).get("encoding-version") == "0.1.0"


def read_frame(root: Root, slot: str) -> pd.DataFrame:
    """Read `obs`, `var` or `raw.var` of any form as a DataFrame, categoricals of the oldest form included."""
    with IMPORTING:
        import pandas as pd
        from anndata.io import read_elem

    with quiet():
        values = read_elem(root[slot])
        if isinstance(values, pd.DataFrame):
            return values
        frame = pd.DataFrame(values)
        frame = frame.set_index(frame.columns[0])
        frame.index = frame.index.astype(str)
        for name, stored in _categories(root, slot).items():
            if name in frame:
                categories = np.atleast_1d(np.asarray(read_elem(stored)))
                if frame[name].dtype.kind in "iu" and (frame[name] < len(categories)).all():
                    codes: Any = frame[name].to_numpy()
                    named: Any = categories
                    frame[name] = pd.Categorical.from_codes(codes, named)
    return frame


def uns_categories(root: Root) -> dict[str, str]:
    """Return which uns entries are categories of a column (anndata before 0.7): entry to column."""
    if "uns" not in root or not is_array(root["obs"]):
        return {}
    columns = {
        name for slot in ("obs", "var") if slot in root and is_array(root[slot]) for name in root[slot].dtype.names
    }
    named = {key: key.removesuffix("_categories") for key in root["uns"] if key.endswith("_categories")}
    return {key: name for key, name in named.items() if name in columns}


def _categories(root: Root, slot: str) -> dict[str, object]:
    """Return the stored categories of a table of records, by column; those of `raw.var` stand in `raw.cat`."""
    if not slot.startswith("raw."):
        return {name: root["uns"][key] for key, name in uns_categories(root).items()}
    stored = root.get("raw.cat", {})
    return {key.removesuffix("_categories"): stored[key] for key in stored}


def moved_graphs(root: Root) -> dict[str, str]:
    """Return the graphs that stand in `uns['neighbors']` (anndata before 0.8): obsp path to stored path.

    anndata moves them to obsp when it reads, over what is there, and warns each time.
    """
    neighbors = root["uns"].get("neighbors") if "uns" in root else None
    if neighbors is None or is_array(neighbors):
        return {}
    found = [name for name in ("distances", "connectivities") if name in neighbors]
    graphs = [n for n in found if sparse_format(neighbors[n]) or len(getattr(neighbors[n], "shape", ())) == 2]
    return {f"obsp/{name}": f"uns/neighbors/{name}" for name in graphs}


def old_children(root: Root, path: str) -> list[str]:
    """Return the names in an `obsm` or `varm` that is one table of records, or the slots of a file
    that keeps `raw` as `raw.X` and so on; empty for anything else.
    """
    if path in ("obsm", "varm"):
        return list(root[path].dtype.names) if is_array(root[path]) else []
    if not path and any(key.startswith("raw.") for key in root):
        return [*(str(key) for key in root if not key.startswith("raw.")), "raw"]
    return []
