"""What entries a cache in a bucket has, learnt at once: to ask for each split would take longer than the split.

Only for a cache of few entries: listing those of a large one takes longer than it saves. An entry that another
run writes later is computed a second time, to the same result; clusters that are jobs of their own are
looked up and claimed in any case.
"""

from __future__ import annotations

from tasks.cache import Cache
from tasks.cache_record import SCHEME
from tasks.recent import listed_as
from tasks.store import Store

MOST = 3_000  # entries
FOLDERS = 256  # of records


class Listing:
    """The entries that a cache had when it was first asked, and those that this run has seen since."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: frozenset[str] | None = frozenset()
        self._asked = cache.store.is_local  # there a look costs next to nothing

    def entries(self) -> frozenset[str] | None:
        """Return them, as `listed_as` does; None where that is not known, or there are too many."""
        if self._cache.store.is_local or self._cache.recent is None:
            return None
        if not self._asked:
            self._known, self._asked = _entries(self._cache), True
        if self._known is None:
            return None
        every = self._known | self._cache.recent.listed()
        return every if len(every) <= MOST else None


def _entries(cache: Cache) -> frozenset[str] | None:
    found: set[str] = set()
    try:
        for store in cache.stores:
            if len(store.list(f"v{SCHEME}/records/00")) * FOLDERS > MOST:
                return None
            found.update(_keys(store))
    except OSError:  # who may read need not be allowed to list
        return None
    return frozenset(found)


def _keys(store: Store) -> set[str]:
    return {listed_as(key.rpartition("/")[2]) for key in store.walk(f"v{SCHEME}/records")}
