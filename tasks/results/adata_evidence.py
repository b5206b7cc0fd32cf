"""A tree that was grown again with evidence, under the ids that an AnnData's clusters have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cellstrata.tasks.elements.in_memory import NAME
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.results.adata_record import AdataRecord
from cellstrata.tasks.stores.data_errors import InputError
from cellstrata.tasks.trees.ids import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

KEPT = ("column", "cluster", "parent", "level", "children_markers", *COLUMNS)  # who a cluster is, and was


def with_evidence(record: AdataRecord, made: Mapping[str, Any], grown: pd.DataFrame) -> pd.DataFrame:
    """Return the recorded tree with what the one grown again tells of the same clusters.

    Parameters
    ----------
    record
        The clusters that are there.
    made
        The labels of the tree grown again by column, (n,) categoricals, by size.
    grown
        That tree, one row a cluster.

    Raises
    ------
    InputError
        If a column has not the same clusters of the same cells.
    """
    with IMPORTING:
        import pandas as pd

    own = record.adata.uns[record.key]["tree"]
    ids = {name: _ids(record, name, made) for name in record.columns}
    row_of = {
        (column, ids.get(column, {}).get(cluster, cluster)): at
        for at, (column, cluster) in enumerate(zip(grown["column"], grown["cluster"], strict=True))
    }
    rows = []
    for old in own.to_dict("records"):
        at = row_of.get((old["column"], old["cluster"])) if old["column"] in ids else None
        new = {} if at is None else grown.iloc[at].to_dict()
        rows.append({**old, **new, **{name: old[name] for name in KEPT if name in old}})
    names = [*grown.columns, *(name for name in own.columns if name not in grown.columns)]
    return pd.DataFrame(rows, columns=names).astype(
        {name: grown[name].dtype for name in grown.columns if name not in KEPT and len(ids) == own["column"].nunique()}
    )


def _ids(record: AdataRecord, name: str, made: Mapping[str, Any]) -> dict[str, str]:
    """Return the id of each cluster that was grown again, by its label there; the clusters are the same."""
    changed = (
        "is not what its record makes of these cells, which have changed since, or their embedding, or labels: call "
        "`cs.tl.cluster(adata, …, evidence=True)`"
    )
    if name not in made:
        raise InputError(NAME, f"obs[{name!r}]", changed)
    theirs, ours = made[name], record.clusters(name)
    codes = np.asarray(theirs.codes)
    pairs = np.unique(np.column_stack([codes, ours.codes]), axis=0)
    pairs = pairs[(pairs != -1).any(axis=1)]
    one, other = pairs[:, 0], pairs[:, 1]
    if (pairs == -1).any() or len(np.unique(one)) != len(one) or len(np.unique(other)) != len(other):
        raise InputError(NAME, f"obs[{name!r}]", changed)
    labels = {str(theirs.categories[here]): ours.labels[there] for here, there in pairs}
    if set(labels.values()) - set(record.rows.clusters(name)):
        raise InputError(NAME, f"obs[{name!r}]", changed)
    return labels
