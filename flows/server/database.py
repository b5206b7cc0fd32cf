"""The database of the embedded server: cellstrata's own, one for each version of Prefect; the user's is never opened.

A server migrates the database that it finds to its own version, and no older one can open it afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import IO

MADE, MAKING = "made", "making"  # files beside the database: it is there whole; the lock of the server that makes it
PATIENCE = 60.0  # seconds for another run's server to make it
DATABASE = ("PREFECT_API_DATABASE_", "PREFECT_SERVER_DATABASE_")  # begin the names of Prefect's settings of it


def data_folder() -> Path:
    """Return the folder for what cellstrata keeps for good, by the XDG rule (a relative path is to be ignored)."""
    home = os.environ.get("XDG_DATA_HOME") or ""
    base = Path(home) if os.path.isabs(home) else Path(os.path.expanduser("~")) / ".local" / "share"
    return base / "cellstrata"


def server_folder() -> Path | None:
    """Return the folder of the server's database, made if need be; None where it cannot be written to."""
    folder = data_folder() / f"prefect-{version('prefect')}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


def own_settings(folder: Path) -> dict[str, str]:
    """Return Prefect's settings of a server that keeps its database in a folder, and its notes of it beside it.

    The notes are named too: with the oldest releases that are allowed they do not follow PREFECT_HOME.
    """
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_SERVER_MEMO_STORE_PATH": str(folder / "memo_store.toml"),
    }


def with_own_database(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a server that keeps all it writes in a folder, whatever the user's settings name."""
    kept = {name: value for name, value in environment.items() if not name.startswith(DATABASE)}
    return kept | {"PREFECT_HOME": str(folder)} | own_settings(folder)


def first_start(folder: Path) -> IO[bytes] | None:
    """Return a lock if the database has yet to be made, None once it is there.

    Two servers that migrate one new database at once hinder each other: the second waits until the first
    answers, which calls `made`, or is gone.
    """
    if (folder / MADE).exists():
        return None
    lock = (folder / MAKING).open("ab")
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not (folder / MADE).exists():
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        time.sleep(0.1)
    lock.close()
    return None


def made(folder: Path) -> None:
    """Note that the database is there."""
    with contextlib.suppress(OSError):
        (folder / MADE).touch()
