"""What a function takes where it is computed: when, for how long, and how much CPU time and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one call took, and where.

    `started` is in s since 1970, `seconds` the wall time, `cpu` CPU seconds of its process or, where others compute in
    the same one, of its thread. `peak` is the highest memory of the process meanwhile in bytes, None where it is not
    known: elsewhere than on Linux, and where several calls share a process.
    """

    started: float
    seconds: float
    cpu: float
    peak: int | None
    host: str
    process: int
    thread: str


class Measured(Generic[T]):
    """A function that returns its result and what it took. Picklable where the function is."""

    def __init__(self, function: Callable[..., T]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "call")

    def __call__(self, *arguments: object) -> tuple[T, Usage]:
        """Call the function; raises what it raises."""
        alone = multiprocessing.parent_process() is not None  # a worker does one thing at a time
        clock = time.process_time if alone else time.thread_time
        known = alone and _forget_peak()
        started, before, cpu = time.time(), time.perf_counter(), clock()
        result = self.function(*arguments)
        usage = Usage(
            started=started,
            seconds=time.perf_counter() - before,
            cpu=clock() - cpu,
            peak=_peak() if known else None,
            host=socket.gethostname(),
            process=os.getpid(),
            thread=threading.current_thread().name,
        )
        return result, usage


def _forget_peak() -> bool:
    """Have Linux count the highest memory of this process from here on; tell whether it does (proc(5), clear_refs)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    """Return the highest memory of this process since then, in bytes."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    return None
