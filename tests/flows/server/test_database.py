"""The embedded server's database: its own, whatever the user's is; and what is said when it cannot be opened."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from cellstrata.flows.server import database as of_server
from cellstrata.flows.server.connection import Connection
from cellstrata.flows.server.database import first_start, made, server_folder, with_own_database
from cellstrata.flows.server.embedded_server import EmbeddedServer, ServerFailed, names_database

pytestmark = [pytest.mark.prefect, pytest.mark.processes]


@dataclass(frozen=True)
class FirstStarts:
    """Two servers have started at once, beside a database of the user's, and have stopped."""

    users: Path
    before: bytes
    data: Path  # what XDG_DATA_HOME named


@pytest.fixture(scope="module")
def first_starts(tmp_path_factory: pytest.TempPathFactory) -> FirstStarts:
    folder = tmp_path_factory.mktemp("first")
    users, data = folder / "home" / ".prefect" / "prefect.db", folder / "data"
    users.parent.mkdir(parents=True)
    with closing(sqlite3.connect(users)) as database, database:  # as another version of Prefect leaves it
        database.execute("create table alembic_version (version_num varchar(32) not null)")
        database.execute("insert into alembic_version values ('ffffffffffff')")
    before = users.read_bytes()

    def start(_: int) -> EmbeddedServer:
        server = EmbeddedServer()
        server.start()
        server.wait()
        return server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.delenv("PREFECT_HOME", raising=False)
        patch.setenv("XDG_DATA_HOME", str(data))
        patch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{users}")
        with ThreadPoolExecutor(2) as threads:
            servers = list(threads.map(start, range(2)))
        for server in servers:
            server.stop()
    return FirstStarts(users, before, data)


def test_two_first_starts_make_the_database_one_after_the_other(
    first_starts: FirstStarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(first_starts.data))
    folder = server_folder()
    assert folder is not None
    assert first_start(folder) is None  # it is made


def test_the_users_database_is_not_touched_and_a_newer_one_is_named(
    first_starts: FirstStarts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = first_starts.users
    assert users.read_bytes() == first_starts.before
    assert [path.name for path in users.parent.iterdir()] == ["prefect.db"]
    shutil.copytree(first_starts.data, tmp_path / "data")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = server_folder()
    assert folder is not None
    assert folder.parent.parent == tmp_path / "data"
    own = folder / "prefect.db"
    assert own.stat().st_size > 100_000

    with closing(sqlite3.connect(own)) as database, database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
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
