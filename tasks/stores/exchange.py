"""Exchanging two folders in one step, where the kernel can."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path


def exchange(a: Path, b: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(os.fsencode(a), os.fsencode(b), ctypes.c_uint(2))
        else:
            at_fdcwd = ctypes.c_int(-100)
            failed = libc.renameat2(at_fdcwd, os.fsencode(a), at_fdcwd, os.fsencode(b), ctypes.c_uint(2))
    except AttributeError:  # an older C library
        return False
    return bool(failed == 0)
