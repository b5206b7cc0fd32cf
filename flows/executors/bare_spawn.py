"""Spawned processes with an empty main module.

A spawned process imports the main module of its parent again. Of a run that Prefect's worker started that is
`prefect.engine`: seconds and a hundred megabytes a process, for nothing that a split needs. Of a user's script
that calls `cellstrata.run` without `if __name__ == "__main__"` it would be that call once more.

That is how `spawn` is documented to work; no upstream issue asks for a way without (2026-11-28). mars-project/mars#3110
does the same. This file can go when `multiprocessing` can spawn a process that imports no main module.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

_one_at_a_time = threading.Lock()


@contextlib.contextmanager
def bare_main() -> Iterator[None]:
    """Let the main module be an empty one within the block; what is spawned there imports no other."""
    with _one_at_a_time:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class BareProcess(SpawnProcess):
    """A spawned process; its main module is empty: what it is given to do lies in modules of this package."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  # multiprocessing's name
        with bare_main():
            return SpawnProcess._Popen(process_obj)


class BareSpawn(SpawnContext):
    """A `multiprocessing` context of such processes."""

    Process = BareProcess
