"""The embedded server's database: its own, whatever the user's is; and what is said when it cannot be opened."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cellstrata.flows.server import database as of_server
from cellstrata.flows.server.connection import Connection
from cellstrata.flows.server.database import first_start, made, server_folder, with_own_database
from cellstrata.flows.server.embedded_server import EmbeddedServer, ServerFailed, names_database

pytestmark = [pytest.mark.prefect, pytest.mark.processes]


def test_the_users_database_is_not_touched_and_a_newer_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, data = tmp_path / "home" / ".prefect" / "prefect.db", tmp_path / "data"
    users.parent.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{users}")
    with sqlite3.connect(users) as database:  # as another version of Prefect leaves it
        database.execute("create table alembic_version (version_num varchar(32) not null)")
        database.execute("insert into alembic_version values ('ffffffffffff')")
    database.close()
    before = users.read_bytes()
    server = EmbeddedServer()
    server.start()
    try:
        server.wait()
    finally:
        server.stop()
    assert users.read_bytes() == before
    assert [path.name for path in users.parent.iterdir()] == ["prefect.db"]
    folder = server_folder()
    assert folder is not None
    assert folder.parent.parent == data
    own = folder / "prefect.db"
    assert own.stat().st_size > 100_000

    with sqlite3.connect(own) as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    database.close()
    server = EmbeddedServer()
    server.start()
    with pytest.raises(ServerFailed, match="Can't locate revision identified by 'ffffffffffff'") as failed:
        server.wait()
    server.stop()
    assert "Fatal Python error" not in str(failed.value)


def test_a_folder_that_cannot_be_written_gives_a_temporary_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert server_folder() is None
    server = EmbeddedServer()
    server.start()
    server.wait()
    assert server._temporary is not None
    assert str(tmp_path / "file" / "cellstrata") in (Connection(server.url, server).notice or "")
    temporary = Path(server._temporary.name)
    assert (temporary / "prefect.db").exists()
    server.stop()
    assert not temporary.exists()
    assert Connection(server.url).notice is None  # of the user's server


def test_a_database_that_the_user_names_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert not names_database()
    (tmp_path / "profiles.toml").write_text(
        'active = "a"\n[profiles.a]\nPREFECT_API_DATABASE_CONNECTION_URL = "postgresql+asyncpg://there/db"\n'
    )
    assert names_database()


def test_what_the_server_notes_of_its_database_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import Settings

    users = {"PREFECT_HOME": str(tmp_path / "users"), "PREFECT_MEMO_STORE_PATH": str(tmp_path / "users" / "memo.toml")}
    for name, value in with_own_database(users, tmp_path / "own").items():
        monkeypatch.setenv(name, value)
    server = Settings().server
    assert server.memo_store_path == tmp_path / "own" / "memo_store.toml"
    url = server.database.connection_url
    assert url is not None
    assert url.get_secret_value() == f"sqlite+aiosqlite:///{tmp_path}/own/prefect.db"


def test_two_first_starts_make_the_database_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def start(_: int) -> EmbeddedServer:
        server = EmbeddedServer()
        server.start()
        server.wait()
        return server

    with ThreadPoolExecutor(2) as threads:
        servers = list(threads.map(start, range(2)))
    for server in servers:
        server.stop()
    folder = server_folder()
    assert folder is not None
    assert first_start(folder) is None  # it is made


def test_who_makes_the_database_is_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_server, "PATIENCE", 0.3)
    lock = first_start(tmp_path)
    assert lock is not None
    assert first_start(tmp_path) is None  # another makes it, and takes too long
    lock.close()  # it has died
    again = first_start(tmp_path)
    assert again is not None
    made(tmp_path)
    again.close()
    assert first_start(tmp_path) is None
