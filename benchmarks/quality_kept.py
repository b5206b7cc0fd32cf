"""Labels that were computed once are kept in a folder: a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Timed:
    """Labels, (n,) or (levels, n) int32, and the CPU seconds that they took."""

    labels: Labels
    cpu: float


@dataclass(frozen=True)
class Kept:
    """A folder of labels by name."""

    folder: Path

    def get(self, name: str, make: Callable[[], npt.NDArray[np.integer]]) -> Timed:
        """Return what has the name, and make it if nothing has."""
        path = self.folder / f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)}.npz"
        if path.exists():
            with np.load(path) as file:
                return Timed(file["labels"], float(file["cpu"]))
        started = time.process_time()
        labels = np.asarray(make(), np.int32)
        made = Timed(labels, time.process_time() - started)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, labels=made.labels, cpu=made.cpu)
        part.replace(path)
        return made
