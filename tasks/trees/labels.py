"""How cluster ids are joined into labels, and levels of a tree into categorical columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import pandas as pd

Path = tuple[int, ...]
SEPARATOR = "_"
STABILITY = "clustering_stability"  # the entry of obsm that has how far its runs have the cluster of each cell
STABILITY_SUFFIX = "_stability"  # of the columns of obs that have the same


def label_of(path: Path) -> str:
    """Return the label of a cluster: (3, 1, 0) is `3_1_0`; the root, (), is `all`."""
    return SEPARATOR.join(map(str, path)) if path else "all"


def column_name(algorithm: str, resolution: float, level: int) -> str:
    """Return the obs column of a level, `leiden_0.5_2`, always with the base resolution."""
    return f"{algorithm}_{float(resolution)}_{level}"


def level_column(
    codes: npt.NDArray[np.int32],
    leaves: Sequence[Path],
    level: int,
    label: Callable[[Path], str] = label_of,
    numbered: Callable[[Path], Path] = lambda path: path,
) -> pd.Categorical:
    """Return the labels of one level as a categorical of strings.

    Parameters
    ----------
    codes
        (n,) int32: for each cell the index of its leaf, -1 where it has none (and gets no label).
    leaves
        The leaves' paths, all at the tree's full depth.
    level
        1 to the depth: labels are the leaves' paths cut to this length.
    label
        How a path is written.
    numbered
        The numbers of a path's id, by which categories are in order.

    Categories are in natural order: 2 before 10, 1_2 before 1_10.
    """
    with IMPORTING:
        import pandas as pd

    ancestors = sorted({leaf[:level] for leaf in leaves}, key=numbered)
    index = {path: i for i, path in enumerate(ancestors)}
    lookup = np.array([*(index[leaf[:level]] for leaf in leaves), -1], dtype=np.int32)  # -1 finds the last
    level_codes = lookup[codes] if len(codes) else np.empty(0, np.int32)
    categories = pd.Index([label(path) for path in ancestors], dtype=object)
    return pd.Categorical.from_codes(level_codes, categories=categories)
