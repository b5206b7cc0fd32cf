"""Obs columns as figures need them: categories by codes, or numbers. What is written is a value, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from natsort import natsorted, ns

from cellstrata.tasks.colours.palette import category_palette
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import DataError
from cellstrata.tasks.elements.own_metadata import covariate_elements, take_own
from cellstrata.tasks.imports.turns import IMPORTING

if TYPE_CHECKING:
    import pandas as pd

BLANK = "(blank)"  # what a category of no visible character is called
_HEX = re.compile(r"#[0-9a-fA-F]{6}(?:[0-9a-fA-F]{2})?")


@dataclass(frozen=True)
class Categories:
    """A column of categories: (n,) int32 codes into `labels`, -1 where missing, and each label's colour."""

    name: str
    codes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    colors: Mapping[str, str] = field(default_factory=dict)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many cells each label has."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))

    @property
    def n_missing(self) -> int:
        """How many cells have none."""
        return int((self.codes < 0).sum())


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: (n,) float64, NaN where missing."""

    name: str
    values: npt.NDArray[np.float64]

    @property
    def n_missing(self) -> int:
        """How many cells have none."""
        return int(np.isnan(self.values).sum())


Covariate = Categories | Numbers


def natural_order(names: Iterable[str]) -> list[str]:
    """Return names as people expect them: 2 before 10, `Donor 9` before `donor 10`; equal ones by their characters."""
    return natsorted(sorted(names), alg=ns.IGNORECASE)


def read_covariate(root: elements.Root, name: str) -> Covariate:
    """Read an obs column.

    Categories that no cell has are left out. All others are values, also `none`, `unknown` and `nan`: a treatment
    may be `none`. Missing is only what the column itself has no value for. Categories are in natural order, unless
    theirs is declared, with the colours of `uns['<name>_colors']` where the file has them.

    Raises
    ------
    InputError
        If there is no such column.
    """
    take_own(root, *covariate_elements(name))
    column = elements.read_obs_column(root, name)
    return numbers_of(column, name) or categories_of(column, name, stored_colors(root, name))


def numbers_of(column: pd.Series, name: str) -> Numbers | None:
    """Return a column of numbers, what is not finite as missing; None of any other column."""
    if column.dtype.kind not in "iuf" or column.dtype.name == "category":
        return None
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return Numbers(name, np.where(np.isfinite(values), values, np.nan))


def categories_of(column: pd.Series, name: str, stored: list[str] | None = None) -> Categories:
    """Return a column of categories, text or truth values; `stored` are colours in the order of its categories."""
    with IMPORTING:
        import pandas as pd

    values = column if isinstance(column.dtype, pd.CategoricalDtype) else column.astype("category")
    texts = [str(each) if str(each).strip() else BLANK for each in values.cat.categories]
    codes = values.cat.codes.to_numpy()
    there = np.bincount(codes[codes >= 0], minlength=len(texts)) > 0
    kept = list(dict.fromkeys(text for text, any_ in zip(texts, there, strict=True) if any_))
    labels = kept if values.cat.ordered else natural_order(kept)
    index = {label: number for number, label in enumerate(labels)}
    lookup = np.array([*(index.get(text, -1) for text in texts), -1], np.int32)
    given = dict(zip(texts, stored, strict=True)) if stored and len(stored) == len(texts) else None
    colors = {label: given[label] for label in labels} if given else category_palette(labels)
    return Categories(name, lookup[codes], tuple(labels), colors)


def stored_colors(root: elements.Root, name: str) -> list[str] | None:
    """Return `uns['<name>_colors']` as `#rrggbb`, None where it is not there or not written so."""
    key = f"{name}_colors"
    if "/" in name or key not in elements.uns_keys(root):
        return None
    try:
        values: object = elements.read_uns(root, key)
    except (DataError, ValueError, TypeError):
        return None
    return hex_colors(values)


def hex_colors(values: object) -> list[str] | None:
    """Return colours that are written `#rrggbb`, with or without an alpha; None if any is not."""
    if values is None:
        return None
    colors = [str(value) for value in np.asarray(values, dtype=object).ravel()]
    return [color[:7] for color in colors] if all(map(_HEX.fullmatch, colors)) else None
