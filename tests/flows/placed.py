"""What tests have run by an owner of a GPU or beside it; imported by those processes themselves."""

from __future__ import annotations

import os


def process(method: str) -> tuple[int, str | None]:
    """Return who this is, and which devices it sees, None for all."""
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")


def die(method: str) -> None:
    """Kill the process, if it sees a device."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") != "":
        os._exit(1)
