"""Who may write to a cache: they can give its readers other labels, since a digest tells damage and no malice."""

from __future__ import annotations

import stat
from pathlib import Path

from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.cache.record import SCHEME

FOLDERS = ("", f"v{SCHEME}", f"v{SCHEME}/records", f"v{SCHEME}/arrays")


def open_to_all(cache: Cache) -> str | None:
    """Say in a notice that every user of this machine may write to a cache, or to the one behind it; None if not.

    A folder's mode tells; of a bucket, whose rules are not asked for, nothing is said.
    """
    for store in cache.stores:
        for name in FOLDERS if store.is_local else ():
            folder = Path(store.path(name))
            try:
                mode = folder.stat().st_mode
            except OSError:
                continue
            if mode & stat.S_IWOTH:
                return (
                    f"every user of this machine may write to the cache {folder} (mode {stat.S_IMODE(mode):o}), and so "
                    f"change labels: `chmod -R o-w {store.root}`; share it with a group instead"
                )
    return None
