"""Many requests to a bucket at once; on a local disk one after the other, which is faster there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cellstrata.tasks.stores.requests import LOOKS
from cellstrata.tasks.stores.store import Store

T = TypeVar("T")
U = TypeVar("U")


def at_once(store: Store, function: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """Apply a function that asks a store to all items; returns its results in their order."""
    waiting = list(items)
    if store.is_local or len(waiting) < 2:
        return [function(item) for item in waiting]
    with ThreadPoolExecutor(min(LOOKS, len(waiting))) as pool:
        return list(pool.map(function, waiting))
