"""Memory that is freed goes back to the system, so that a process is as large as what it holds."""

from __future__ import annotations

import contextlib
import ctypes

MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's malloc.h
LARGE = 1 << 22  # bytes


def give_back_freed() -> None:
    """Have glibc map large blocks on their own; other C libraries have no such setting, and are left alone.

    By itself glibc raises its threshold to 32 MiB as soon as large blocks are freed, and then keeps
    them: a worker stayed 150 MB larger than its graph.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, LARGE)
