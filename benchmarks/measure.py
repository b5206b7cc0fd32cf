"""Wall seconds, CPU seconds and peak memory of a command and all processes that it starts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psutil

INTERVAL = 0.1  # seconds between looks at the processes, at least
SHARE = 0.02  # of the time at most is spent on looking, which takes long, and holds processes up, where memory is large
SHOWN = 20_000  # characters of what a failed command said last


@dataclass(frozen=True)
class Measured:
    """What a command took. `peak_mb` (MiB) is the memory of all its processes at its highest, pages that
    several share counted once (PSS; elsewhere than on Linux USS)."""

    wall: float
    cpu: float
    peak_mb: float
    stdout: str


def measure(command: list[str], environment: dict[str, str]) -> Measured:
    """Run a command and measure its whole process tree.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # a pipe would be full one day
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=err, text=True)
        wall, cpu, peak = _watched(process, started)
        stdout, stderr = (file.seek(0) or file.read() for file in (out, err))
    if process.returncode:
        print(stderr[-SHOWN:], file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command, stdout, stderr)
    return Measured(wall, cpu, peak, stdout)


def _watched(process: subprocess.Popen[str], started: float) -> tuple[float, float, float]:
    """Follow a process to its end; returns wall and CPU seconds, and the peak in MiB."""
    watched, cpu, peak = psutil.Process(process.pid), dict[int, float](), 0.0
    while process.poll() is None:
        memory, began = 0, time.perf_counter()
        try:
            for member in [watched, *watched.children(recursive=True)]:
                memory += _memory(member)
                times = member.cpu_times()
                cpu[member.pid] = times.user + times.system
        except psutil.Error:  # it has just ended
            pass
        peak = max(peak, memory / 2**20)
        time.sleep(max(INTERVAL, (time.perf_counter() - began) / SHARE))
    return time.perf_counter() - started, sum(cpu.values()), peak


def _memory(process: psutil.Process) -> int:
    info = process.memory_full_info()
    return int(getattr(info, "pss", 0) or info.uss)
