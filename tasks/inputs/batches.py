"""The obs columns that say from which donor or batch cells are: checked, and put in the cache as codes."""

from __future__ import annotations

import numpy as np

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements import reading as elements
from cellstrata.tasks.elements.opening import reading
from cellstrata.tasks.elements.own_metadata import take_own
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.inputs.checks import Check, column_hint
from cellstrata.tasks.trees.plan import Batches

FEW = 10  # cells of a group on average: of fewer its spread over clusters says little
Found = dict[str, tuple["np.ndarray", tuple[str, ...]]]


def read_batches(check: Check) -> Found:
    """Return for each of `batch_keys` the group of each cell, (n,) int32, -1 where none is written, and the groups.

    Columns that are not there are noted as wrong.
    """
    with reading(check.url, "obs"):
        there = elements.obs_columns(check.root)
    found: Found = {}
    for name in dict.fromkeys(check.config.batch_keys):
        if name not in there:
            hint = column_hint(name, there, there)
            check.wrong(f"obs[{name!r}]", f"`batch_keys` names it, but there is no such column; {hint}")
            continue
        with reading(check.url, f"obs[{name!r}]"):
            take_own(check.root, f"obs/{name}")
            codes, groups = found[name] = codes_of(check.root, name)
        if len(groups) > 1 and len(codes) < FEW * len(groups):
            check.notices.append(
                f"`batch_keys` names {name}, which has {len(groups):,} values for {len(codes):,} cells: of a column of "
                "numbers or names hardly anything can be told; name one of donors or batches"
            )
    return found


def stage_batches(found: Found, cache: Cache) -> tuple[Batches, ...]:
    """Put the groups of cells in the cache."""
    return tuple(Batches(column=name, codes=cache.put(codes), groups=groups) for name, (codes, groups) in found.items())


def codes_of(root: elements.Root, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group of each cell in an obs column, (n,) int32, -1 where none is written, and the groups."""
    with IMPORTING:
        import pandas as pd

    values = pd.Categorical(elements.read_obs_column(root, name)).remove_unused_categories()
    return np.ascontiguousarray(values.codes, dtype=np.int32), tuple(map(str, values.categories))
