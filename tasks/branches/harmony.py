"""Batches taken out of a PCA by Harmony (Korsunsky et al., Nature Methods 2019), as harmonypy computes it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellstrata.configs.embedding import HarmonyConfig
from cellstrata.tasks.imports.turns import IMPORTING
from cellstrata.tasks.kernels.versions import installed_version

PACKAGE, OLDEST = "harmonypy", (2, 1)  # of older ones the result depends on the number of threads
CELLS_OF_A_CLUSTER, MOST_CLUSTERS = 30, 100  # Harmony's own defaults; for fewer than 15 cells they give no cluster


def harmony_problem() -> str | None:
    """Say why Harmony cannot be used here, None where it can."""
    there = installed_version(PACKAGE)
    if there is None:
        return "`harmony` needs a package: pip install 'cellstrata[harmony]', or leave it out"
    if tuple(int(part) for part in there.split(".")[:2] if part.isdigit()) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return f"`harmony` needs {PACKAGE} {oldest} or newer, not {there}: pip install 'cellstrata[harmony]'"
    return None


def mixed(
    values: npt.NDArray[np.float32], batches: npt.NDArray[np.int32], asked: HarmonyConfig
) -> npt.NDArray[np.float32] | None:
    """Take batches out of a PCA, (n, d) float32, of cells whose batches are given, (n,); None where there is only one.

    Cells without a batch, -1, count as one batch of their own. The calls of `harmonypy.run_harmony` with its defaults,
    on one thread and with the seed 0, so that the same input gives the same to the bit.
    """
    if len(np.unique(batches)) < 2:
        return None
    with IMPORTING:
        import harmonypy

    found = harmonypy.run_harmony(
        values.T,  # components by cells: cells by components are taken for these where both are as many
        {"batch": batches},
        "batch",
        theta=asked.theta,
        nclust=max(1, min(round(len(values) / CELLS_OF_A_CLUSTER), MOST_CLUSTERS)),
        max_iter_harmony=asked.max_iterations,
        verbose=False,
        random_state=0,
        ncores=1,
    )
    return np.ascontiguousarray(found.Z_corr, dtype=np.float32)
