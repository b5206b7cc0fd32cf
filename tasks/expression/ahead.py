"""Reading ahead: the next block is read by a thread while one is computed with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the same items in the same order, each taken while the one before is in use; errors come in their turn."""
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="expression") as reader:
        coming = reader.submit(next, source, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, source, end)
            yield item  # type: ignore[misc]
