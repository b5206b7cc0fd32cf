"""Removals: whoever makes a cache smaller says so, and a run that begins meanwhile waits for the end of it.

A run writes its lease, and then looks for removals; whoever removes writes a removal, and then looks for leases before
each step. So at least one of the two sees the other: the removal stops, or the run waits until it has. A removal
(`v1/removals/<id>.json`: {"host", "pid"}) is a hint, never a lock: one whose process is gone or that is not renewed
counts for nothing, and nobody waits for longer than LONGEST.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

from cellstrata.tasks.cache.record import SCHEME
from cellstrata.tasks.stores.digest import canonical_json
from cellstrata.tasks.stores.heartbeat import OF_WORK, may_live, own_process, sign_of_life
from cellstrata.tasks.stores.objects import list_objects
from cellstrata.tasks.stores.store import Store

REMOVALS = f"v{SCHEME}/removals"
PACE = OF_WORK
LONGEST = 120.0  # s; a step of a removal takes a few seconds in a bucket
LOOK_EVERY = 0.2  # s
SAID_AFTER = 1.0  # s
log = logging.getLogger("cellstrata.cache")


@contextlib.contextmanager
def removing(store: Store) -> Iterator[None]:
    """Say that entries are removed from a cache while the block runs.

    Where that cannot be written, as on a disk that is full, they are removed all the same.
    """
    path = f"{REMOVALS}/{uuid.uuid4().hex}.json"
    with sign_of_life(store, path, canonical_json(own_process()), "cellstrata-removal", PACE.renewed_every):
        yield


def wait_for_removals(store: Store) -> None:
    """Return when nobody removes anything from a cache; a cache that cannot be looked at is not waited for."""
    began, said = time.monotonic(), False
    with contextlib.suppress(Exception):  # whatever a store raises
        while (others := _live(store)) and time.monotonic() - began < LONGEST:
            if not said and time.monotonic() - began > SAID_AFTER:
                said = True
                who = f"process {others[0].get('pid')} on {others[0].get('host')}"
                log.warning("waiting for %s, which removes entries from the cache %s", who, store.url)
            time.sleep(LOOK_EVERY)


def _live(store: Store) -> list[dict[str, Any]]:
    """The removals that count now."""
    now, found = time.time(), []
    for stored in list_objects(store, REMOVALS).objects:
        with contextlib.suppress(Exception):  # it has ended since, or says nothing
            sign = json.loads(store.read(stored.key))
            if PACE.counts(now - stored.time) and may_live(sign):
                found.append(sign)
    return found
