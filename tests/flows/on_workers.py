"""What tests have run by the workers of a cluster; those import it, so it imports nothing that is slow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_for(happened: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def note_and_wait(notes: str, until: str) -> str:
    """Note that this has begun, and end when a file is there."""
    with Path(notes).open("a") as file:
        file.write(f"{os.getpid()}\n")
    wait_for(Path(until).exists)
    return "done"


def die(notes: str) -> None:
    with Path(notes).open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def tasks_of(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)
