"""A comparison as frames: a row for each pair of columns, for each group, or for each cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellstrata.tasks.evaluation.compared_results import ComparedPair, ComparedResults
from cellstrata.tasks.evaluation.comparison import Partners
from cellstrata.tasks.evaluation.covariates import Categories
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import pandas as pd


def pair_frame(found: ComparedResults) -> pd.DataFrame:
    """Return one row for each pair of columns.

    `first`, `second`, `n_cells` that both have a value for, `ari`, `nmi`, `v_measure`, `homogeneity`, `completeness`,
    and `similarity`, the mean element-centric similarity of the cells.
    """
    with IMPORTING:
        import pandas as pd

    rows = [
        {
            "first": pair.first.title, "second": pair.second.title, "n_cells": of.n_cells, "ari": of.ari,
            "nmi": of.nmi, "v_measure": of.v_measure, "homogeneity": of.homogeneity,
            "completeness": of.completeness, "similarity": pair.comparison.similarity,
        }
        for pair in found.pairs
        for of in (pair.comparison.agreement,)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def cluster_frame(found: ComparedResults) -> pd.DataFrame:
    """Return one row for each group of each column of each pair, and what it is in the other column.

    `column`, `cluster`, `n_cells`, `other`, `best` (the group there with the highest Jaccard index, None where no cell
    has a value), `jaccard`, `n_shared` cells, and `similarity`, the mean element-centric similarity of its cells.
    """
    with IMPORTING:
        import pandas as pd

    frames = []
    for pair in found.pairs:
        one = pair.comparison
        titles = (pair.first.title, pair.second.title)
        frames.append(_groups(titles, one.of_first, one.first, one.second))
        frames.append(_groups(titles[::-1], one.of_second, one.second, one.first))
    return pd.concat(frames, ignore_index=True)


def cell_frame(found: ComparedResults) -> pd.DataFrame:
    """Return the element-centric similarity of each cell, float32, a column for each pair; NaN where none is known.

    `found` has the names of the cells, which are the index.
    """
    with IMPORTING:
        import pandas as pd

    columns = {_name(pair): pair.comparison.of_cells() for pair in found.pairs}
    return pd.DataFrame(columns, index=pd.Index([] if found.names is None else found.names, dtype=object))


def _name(pair: ComparedPair) -> str:
    return f"{pair.first.title}~{pair.second.title}"


def _groups(titles: tuple[str, ...], of: Partners, own: Categories, other: Categories) -> pd.DataFrame:
    with IMPORTING:
        import pandas as pd

    best = [None if at < 0 else other.labels[at] for at in of.best]
    return pd.DataFrame(
        {
            "column": titles[0], "cluster": list(own.labels), "n_cells": of.every, "other": titles[1], "best": best,
            "jaccard": of.jaccard, "n_shared": of.shared, "similarity": of.similarity,
        }
    )  # fmt: skip
