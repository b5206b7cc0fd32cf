"""Collecting garbage in a Prefect server only while SQLite is idle: at other times it can stop the server for a minute.

CPython finalises a cursor that has become garbage in whatever thread collects it, holding the interpreter's
lock, and SQLite makes it wait there while another thread is at work on the same connection. If that one
waits in turn for a lock of the database, whose holder waits for the interpreter, all stand still until
Prefect's `busy_timeout` of 60 s ends it. Seen with 200 data sets in a run, and once in 40 smaller runs.

python/cpython#86864 (closed) tells of the same two locks with connections; for cursors no upstream issue is known
(2026-11-28). This file can go when CPython lets go of its lock while it finalises a statement of SQLite.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

EVERY = 0.25  # seconds
MANY = 20_000  # objects more than there were, from which on collecting pays
TOO_MANY = 2_000_000  # from which on it is done in any case


class CollectWhenIdle:
    """An ASGI application that does so from its start to its end."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        collecting = asyncio.create_task(_collect())
        try:
            await self._app(scope, receive, send)
        finally:
            collecting.cancel()
            gc.enable()


async def _collect() -> None:
    gc.disable()
    while True:
        await asyncio.sleep(EVERY)
        more = gc.get_count()[0]
        if more > TOO_MANY or (more > MANY and _is_idle()):
            gc.collect()


def _is_idle() -> bool:
    """Tell whether no connection to the database is in use."""
    from prefect.server.database.configurations import ENGINES

    pools: list[object] = [engine.pool for engine in list(ENGINES.values())]
    return not any(pool.checkedout() for pool in pools if hasattr(pool, "checkedout"))
