"""Leases: each run says in the cache that it uses it, so that nothing it uses is removed meanwhile.

`v1/leases/<id>.json` holds {"host", "pid", "started"}; the time of the file says when the run was last
known to live. A lease that is not renewed for ten minutes counts for nothing: a run that was killed
never blocks anybody. Only removal asks for leases; runs do not wait for one another, but for a removal
that is under way.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.cache.removals import wait_for_removals
from cellstrata.tasks.stores.digest import canonical_json
from cellstrata.tasks.stores.heartbeat import OF_A_RUN, own_process, sign_of_life
from cellstrata.tasks.stores.objects import StoredObject, list_objects

LEASES = f"v{SCHEME}/leases"
PACE = OF_A_RUN
_NAME = re.compile(rf"{LEASES}/[0-9a-f]{{32}}\.json")


@dataclass(frozen=True)
class Lease:
    """One run's word that it uses the cache: `started` and the last renewal (`stored.time`), s since 1970."""

    stored: StoredObject
    host: str
    pid: int
    started: float

    def lives(self, now: float) -> bool:
        """Tell whether it counts; one from the future, by a clock set wrong, does not for ever."""
        return PACE.counts(now - self.stored.time)


@contextlib.contextmanager
def using(cache: Cache) -> Iterator[None]:
    """Hold a lease on a cache while the block runs, which begins when nobody removes anything from the cache.

    A cache that cannot be written to is used without one. Whatever is read from a cache to be used later is read
    within the block: else it may be removed in between. Where there was no cache and none came of it, none is left.
    """
    path = f"{LEASES}/{uuid.uuid4().hex}.json"
    started = datetime.now(UTC).isoformat(timespec="seconds")
    lease = canonical_json({**own_process(), "started": started})
    sign = sign_of_life(cache.store, path, lease, "cellstrata-lease", PACE.renewed_every)
    with _removed_if_unused(cache), sign:
        wait_for_removals(cache.store)
        yield


def all_leases(cache: Cache) -> list[Lease]:
    """Return every lease that lies in a cache, also those that count for nothing any more."""
    return [_read(cache, found) for found in list_objects(cache.store, LEASES).objects if _NAME.fullmatch(found.key)]


def live_leases(cache: Cache, now: float | None = None) -> list[Lease]:
    """Return the leases of the runs that use a cache `now` (s since 1970)."""
    at = time.time() if now is None else now
    return [lease for lease in all_leases(cache) if lease.lives(at)]


@contextlib.contextmanager
def _removed_if_unused(cache: Cache) -> Iterator[None]:
    """Remove what leases made where there was no cache on a local disk, unless more came to lie there."""
    leases = Path(cache.store.path(LEASES)) if cache.store.is_local else None
    made: list[Path] = []
    if leases is not None and not os.path.exists(leases.parent):
        made += takewhile(lambda folder: not os.path.exists(folder), (leases, *leases.parents))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # not empty, or gone
            if made and os.listdir(made[1]) == [made[0].name]:
                for folder in made:
                    folder.rmdir()


def _read(cache: Cache, found: StoredObject) -> Lease:
    """Read a lease; one that says nothing may have begun at any time."""
    try:
        said = json.loads(cache.store.read(found.key))
        started = min(datetime.fromisoformat(said["started"]).timestamp(), found.time)
        return Lease(found, str(said["host"]), int(said["pid"]), started)
    except Exception:
        return Lease(found, "unknown", 0, 0.0)
