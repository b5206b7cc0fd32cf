"""Spawned processes that do not import Prefect.

A spawned process imports the main module of its parent again. Of a run that Prefect's worker started
that is `prefect.engine`: seconds and a hundred megabytes a process, for nothing that a split needs.
"""

from __future__ import annotations

import sys
import threading
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

ENGINE = "prefect.engine"
_one_at_a_time = threading.Lock()


class BareProcess(SpawnProcess):
    """A spawned process; its main module is empty where the parent's is Prefect's engine."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  # multiprocessing's name
        with _one_at_a_time:
            main = sys.modules["__main__"]
            if getattr(main.__spec__, "name", None) == ENGINE:
                sys.modules["__main__"] = ModuleType("__main__")
            try:
                return SpawnProcess._Popen(process_obj)
            finally:
                sys.modules["__main__"] = main


class BareSpawn(SpawnContext):
    """A `multiprocessing` context of such processes."""

    Process = BareProcess
