"""How many CPUs this process may use, which is not how many the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Count the CPUs of this process: its affinity, lowered by a container's quota; at least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        allowed = os.cpu_count() or 1
    quotas = [quota for folder in _groups(cgroup, own) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas)]))


def _groups(cgroup: Path, own: Path) -> list[Path]:
    """List the folders whose quota may hold: the root's, and each from the process's own upwards."""
    folders = [cgroup, cgroup / "cpu"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            base = cgroup / "cpu" if controllers else cgroup
            inner = base / path.strip("/")
            folders += [folder for folder in (inner, *inner.parents) if base in folder.parents]
    return folders


def _quota(folder: Path) -> float | None:
    """Read a CPU quota in the spelling of cgroup v2, else v1; None if there is none."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
