"""Transactions of our servers wait for each other instead of failing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from prefect.server.database.configurations import AioSqliteConfiguration

from cellstrata.flows.server.sqlite_writing import begin_writing_at_once

BETWEEN = 0.2  # seconds from a transaction's reading to its writing: time for another to write


async def _two_that_read_before_they_write(place: Path) -> int:
    """Run two such transactions at once; returns how many rows there are."""
    configuration = AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{place}")
    engine = await configuration.engine()
    async with engine.begin() as connection:
        await connection.execute(sa.text("create table runs (name text)"))

    async def write(name: str) -> None:
        session = await configuration.session(engine)
        async with session, configuration.begin_transaction(session):
            await session.execute(sa.text("select count(*) from runs"))
            await asyncio.sleep(BETWEEN)
            await session.execute(sa.text("insert into runs values (:name)"), {"name": name})

    try:
        await asyncio.gather(write("a"), write("b"))
        async with engine.connect() as connection:
            return int((await connection.execute(sa.text("select count(*) from runs"))).scalar_one())
    finally:
        await engine.dispose()


def test_transactions_that_read_first_are_both_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        sa.exc.OperationalError, match="locked"
    ):  # Prefect's: when this no longer fails, nor is ours needed
        asyncio.run(_two_that_read_before_they_write(tmp_path / "prefects.db"))
    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    begin_writing_at_once()
    assert asyncio.run(_two_that_read_before_they_write(tmp_path / "ours.db")) == 2
