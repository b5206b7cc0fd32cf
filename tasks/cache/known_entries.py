"""What entries a cache in a bucket has, learnt at once: to ask for each split would take longer than the split.

Only for a cache of few entries: listing those of a large one takes longer than it saves. An entry that another
run, or another data set at the same moment, writes later may be computed a second time, to the same result;
clusters that are jobs of their own are claimed in any case.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from weakref import WeakValueDictionary

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.recent_entries import listed_as
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.store import Store

MOST = 3_000  # entries
FOLDERS = 256  # of records


class KnownEntries:
    """The entries that a cache had when it was first asked, and those that its users have seen since."""

    def __init__(self, cache: Cache) -> None:
        self._cache = Cache(cache.store, cache.behind)
        self._known: frozenset[str] | None = None
        self._seen: set[str] = set()
        self._asked = False
        self._lock = threading.Lock()

    @classmethod
    def of(cls, cache: Cache) -> KnownEntries:
        """Return that of a cache which the other data sets of this process use at the moment, or a new one."""
        places = " ".join(store.url for store in cache.stores)
        with _making:
            found = _live.get(places)
            if found is None:
                found = _live[places] = cls(cache)
            return found

    def saw(self, keys: Iterable[str]) -> None:
        """Note entries that there are now."""
        with self._lock:
            self._seen.update(map(listed_as, keys))

    def has(self, key: str) -> bool:
        """Tell whether an entry has been seen."""
        with self._lock:
            return listed_as(key) in self._seen

    def may_have(self, key: str) -> bool:
        """Tell whether there may be an entry; True where that is not known."""
        entries = self.entries()
        return entries is None or listed_as(key) in entries

    def written_since(self, key: str, listed: bool, *, left: bool) -> bool:
        """Tell whether another has ended with a cluster since our look at the cache; `left`: it had claimed it."""
        if listed and not left:
            return self.has(key)
        return (left or self._cache.store.is_local) and self._cache.read_record(key) is not None

    def entries(self) -> frozenset[str] | None:
        """Return all, as `listed_as` does; None where that is not known, or there are too many."""
        if self._cache.store.is_local:  # there a look costs next to nothing
            return None
        with self._lock:
            if not self._asked:
                self._known, self._asked = _entries(self._cache), True
            if self._known is None or len(self._known) + len(self._seen) > MOST:
                return None
            return self._known | self._seen


_live: WeakValueDictionary[str, KnownEntries] = WeakValueDictionary()
_making = threading.Lock()


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
