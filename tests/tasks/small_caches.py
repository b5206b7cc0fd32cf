"""Small caches of any age, on a local disk or in memory, for the tests of their care."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cellstrata.tasks.cache.cache import ArrayRef, Cache, array_folder, chunk_name, record_path
from cellstrata.tasks.stores.store import Store
from tests.tasks.small import cache_at

HOUR, DAY = 3600.0, 86400.0
NOW = time.time()  # ages are counted from here, so that equal ones give equal times


def new_cache(place: str, folder: Path) -> Cache:
    """Open an empty cache: `local` or `memory`."""
    return cache_at(folder / "cache") if place == "local" else Cache(Store.at(f"memory://{uuid.uuid4().hex}/cache"))


def key_of(number: int) -> str:
    """Return the key of an entry."""
    return f"{(number + 1) * 2654435761 % 2**32:08x}" + f"{number:024x}"


def values_of(number: int, n: int = 100) -> np.ndarray[Any, Any]:
    """Return `n` values that are in no other array."""
    return np.full(n, number, np.int32)


def add_entry(cache: Cache, number: int, *arrays: np.ndarray[Any, Any], age: float = 0, **facts: Any) -> str:
    """Put an entry with these arrays, by default one of its own, all last used `age` seconds ago."""
    refs = [cache.put(values) for values in arrays or [values_of(number)]]
    body = {"arrays": {f"a{i}": ref.to_json() for i, ref in enumerate(refs)}, "number": number, **facts}
    key = cache.write_record("split", key_of(number), body).key
    if age:
        set_age(cache, record_path(key), age)
        for ref in refs:
            set_array_age(cache, ref, age)
    return key


def set_array_age(cache: Cache, ref: ArrayRef, age: float) -> None:
    """Say that an array was last put `age` seconds ago."""
    set_age(cache, f"{array_folder(ref.digest)}/zarr.json", age)
    if np.prod(ref.shape):
        set_age(cache, f"{array_folder(ref.digest)}/{chunk_name(ref)}", age)


def set_age(cache: Cache, key: str, age: float) -> None:
    """Say that an object was last written `age` seconds ago."""
    when, path = NOW - age, cache.store.path(key)
    if cache.store.is_local:
        os.utime(path, (when, when))
    else:
        cache.store.fs.store[cache.store.fs._strip_protocol(path)].created = datetime.fromtimestamp(when, UTC)


def there(cache: Cache, *numbers: int) -> list[int]:
    """Return those of some entries that are there and whole."""
    return [number for number in numbers if cache.find(key_of(number), "split")]


def files(cache: Cache) -> dict[str, int]:
    """Return the sizes of all objects of a cache, by their keys."""
    if not cache.store.is_local:
        return {key: len(cache.store.read(key)) for key in cache.store.walk()}
    root = Path(cache.store.path())
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}
