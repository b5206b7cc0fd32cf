"""Agreement of clusters with known labels: adjusted Rand index and normalised mutual information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def agreement(labels: str, data: str, known: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Compare every column of a table of labels with each known obs column of the data.

    Returns, by known column, the `column` with the highest NMI, its `nmi` and `ari`. Cells without a
    known label are left out, and columns that the data do not have.
    """
    if not known:
        return {}
    import pandas as pd
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    from cellstrata.tasks.elements.reading import obs_columns, open_anndata, read_obs_column
    from cellstrata.tasks.stores.places import Place

    table = pd.read_parquet(labels)
    columns = [name for name in table if name.startswith(("leiden_", "louvain_"))]
    best = {}
    with open_anndata(Place(data)) as root:
        for name in [name for name in known if name in obs_columns(root)]:
            truth = read_obs_column(root, name)
            there = truth.notna().to_numpy()
            true = truth[there].astype(str)
            nmi = {column: normalized_mutual_info_score(true, table[column][there]) for column in columns}
            column = max(nmi, key=lambda column: nmi[column])
            ari = adjusted_rand_score(true, table[column][there])
            best[name] = {"column": column, "nmi": round(nmi[column], 4), "ari": round(ari, 4)}
    return best
