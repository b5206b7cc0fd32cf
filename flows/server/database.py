"""The database of the embedded server: cellstrata's own, one for each version of Prefect; the user's is never opened.

A server migrates the database that it finds to its own version, and no older one can open it afterwards.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path

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


def database_url(folder: Path) -> str:
    """Return the URL of the database in a folder, as Prefect takes it."""
    return f"sqlite+aiosqlite:///{folder / 'prefect.db'}"


def with_own_database(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a server that keeps all it writes in a folder, whatever the user's settings name."""
    kept = {name: value for name, value in environment.items() if not name.startswith(DATABASE)}
    return kept | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url(folder)}
