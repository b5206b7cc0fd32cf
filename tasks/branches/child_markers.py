"""The genes that tell the children of splits apart, found for several splits in one pass over the file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cellstrata.configs.expression import ExpressionConfig
from cellstrata.tasks.branches.cells import passes
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.elements.opening import Opened
from cellstrata.tasks.expression.blocks import Logs
from cellstrata.tasks.expression.choice import chosen_expression
from cellstrata.tasks.expression.digest import expression_digest
from cellstrata.tasks.expression.source import Expression
from cellstrata.tasks.inputs.index import Remembered
from cellstrata.tasks.markers.child_markers import child_markers
from cellstrata.tasks.markers.moments import Group, Moments, moments_of_parts
from cellstrata.tasks.stores.digest import digest_values
from cellstrata.tasks.trees.split_markers import KIND, UntoldSplit

MOST_NUMBERS = 1 << 25  # genes times children of a pass: 20 bytes each


@dataclass(frozen=True, kw_only=True)
class ValuesRequest:
    """The values of an input in which such genes are found."""

    source: Opened = field(repr=False)
    asked: ExpressionConfig
    rehash: bool = False


def name_values(request: ValuesRequest, cache: Cache) -> str:
    """Return what names the values, by what they are; all are read where their digest is not remembered.

    Raises
    ------
    InputError
        If they are not there.
    """
    memory = Remembered(cache, request.source, forget=request.rehash)
    with chosen_expression(request.source, request.asked) as expression:
        digest = memory.digest_of(request.asked.element, lambda: expression_digest(expression))
        name = _named(request, expression, digest)
    request.source.check_unchanged()
    return name


def find_values(request: ValuesRequest, cache: Cache) -> str | None:
    """Return what `name_values` would without reading them, None where that is not known."""
    if not Remembered(cache, request.source, forget=request.rehash).knows_digest_of(request.asked.element):
        return None
    return name_values(request, cache)


def _named(request: ValuesRequest, expression: Expression, digest: str) -> str:
    normalize = request.asked.normalize
    base = None if normalize else expression.log_base
    return digest_values(kind="values", expression=digest, normalize=normalize, log_base=base)


def tell_children(
    request: ValuesRequest, splits: Sequence[UntoldSplit], cache: Cache, refresh: bool = False
) -> list[str]:
    """Find the markers of the children of each split, and keep them; returns their keys, each once.

    The file is gone through once, or a few times where genes and children are very many. Nothing is read of it where
    the cache has all.

    Raises
    ------
    InputError
        If the values are not what `normalize` says, or are damaged.
    DamagedEntry
        If the labels of a split are gone.
    """
    every = {split.key: split for split in splits}
    missing = [split for key, split in every.items() if refresh or cache.find(key, KIND) is None]
    if missing:
        with chosen_expression(request.source, request.asked) as expression:
            logs, genes = Logs(expression, normalize=request.asked.normalize), expression.shape[1]
            for numbers in passes([len(split.split.facts.sizes) for split in missing], MOST_NUMBERS // genes):
                _pass(request, logs, [missing[number] for number in numbers], cache)
    return list(every)


def _pass(request: ValuesRequest, logs: Logs, splits: Sequence[UntoldSplit], cache: Cache) -> None:
    started = time.perf_counter()
    parts = [(split.rows, np.ascontiguousarray(split.split.labels(cache))) for split in splits]
    found = moments_of_parts(logs.blocks(), parts, logs.expression.shape[1])
    request.source.check_unchanged()  # before anything is kept under the name of the values
    shared = (time.perf_counter() - started) / len(splits)
    for split, of in zip(splits, found, strict=True):
        started = time.perf_counter()
        arrays = child_markers(_groups(of), logs.log_base).to_arrays()
        seconds = round(shared + time.perf_counter() - started, 4)
        cache.write_record(KIND, split.key, {"split": split.split.key, "seconds": seconds}, arrays)


def _groups(found: Moments) -> list[Group]:
    return [found.group(np.array([child])) for child in range(len(found.cells))]
