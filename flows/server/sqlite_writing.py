"""Transactions of a Prefect server on SQLite wait their turn to write, where Prefect's would be refused.

A transaction that reads before it writes is refused at once (SQLITE_BUSY_SNAPSHOT) if another has written in
between, and Prefect begins most of its own so. The client is told 503 and tries six times, which with many
data sets in one run was not enough. Begun as `BEGIN IMMEDIATE`, they queue for `busy_timeout` instead.

PrefectHQ/prefect#18934 (open). This file can go when Prefect begins the transactions that write as `BEGIN IMMEDIATE`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any


def begin_writing_at_once() -> None:
    """Make all transactions that this process's server begins on SQLite such ones."""
    from prefect.server.database.configurations import AioSqliteConfiguration

    begin = AioSqliteConfiguration.begin_transaction

    def at_once(self: Any, session: Any, with_for_update: bool = False) -> AbstractAsyncContextManager[Any]:
        return begin(self, session, with_for_update=True)

    AioSqliteConfiguration.begin_transaction = at_once  # type: ignore[method-assign, assignment]
