"""What cells are compared with: obs columns as categories or numbers, as the page needs them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.elements import Root, obs_columns, read_obs_column
from tasks.figures.natural_order import natural

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "nan", "NaN", "None", "unknown"})  # as the ancestor reads them
MOST = 250  # categories that are told apart; a code fits a byte


@dataclass(frozen=True)
class Categories:
    """A column of categories: `codes` (n,) int32 index `labels`, -1 where there is none. `other` says how
    many rare categories the last label stands for."""

    name: str
    codes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    other: int = 0


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: `values` (n,) float64, NaN where there is none."""

    name: str
    values: npt.NDArray[np.float64]


Covariate = Categories | Numbers


def read_covariates(root: Root, names: Iterable[str]) -> tuple[list[Covariate], list[str]]:
    """Read those of the named columns that obs has; return them, and the names of the others."""
    there = set(obs_columns(root))
    wanted = list(dict.fromkeys(names))
    found = [covariate(name, read_obs_column(root, name)) for name in wanted if name in there]
    return found, [name for name in wanted if name not in there]


def covariate(name: str, column: pd.Series) -> Covariate:
    """Take a column of any dtype: numbers stay numbers, all else are categories of text in natural order.

    `nan`, `None`, `unknown` and empty texts are missing, as is what pandas calls so. Beyond 250
    categories the rarest are one.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
        return Numbers(name, np.where(np.isfinite(values), values, np.nan))
    as_category = column.astype("category").cat
    texts = [str(value) for value in as_category.categories]
    kept = natural({text for text in texts if text not in MISSING})
    place = {text: at for at, text in enumerate(kept)}
    lookup = np.array([*(place.get(text, -1) for text in texts), -1], dtype=np.int32)
    codes = lookup[as_category.codes.to_numpy()]
    return _rarest_as_one(name, codes, kept)


def _rarest_as_one(name: str, codes: npt.NDArray[np.int32], labels: list[str]) -> Categories:
    sizes = np.bincount(codes[codes >= 0], minlength=len(labels))
    used = np.flatnonzero(sizes)
    order = used[np.argsort(-sizes[used], kind="stable")]
    common = np.sort(order if len(order) <= MOST else order[: MOST - 1])
    other = len(used) - len(common)
    lookup = np.full(len(labels) + 1, -1, dtype=np.int32)
    lookup[used] = len(common)
    lookup[common] = np.arange(len(common))
    names = [labels[at] for at in common] + [f"{other:,} rarer ones"] * (other > 0)
    return Categories(name, lookup[codes], tuple(names), other)
