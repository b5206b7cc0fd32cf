"""Notices of clusters that say nothing: every cell alone, and too few cells for their neighbors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from tests.flows.conftest import Run
from tests.tasks.everything import save


def plain(n: int) -> ad.AnnData:
    points = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    return ad.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]), obsm={"X_pca": points})


def notices(run: Run, folder: Path, n: int, resolution: float) -> list[str]:
    settings: dict[str, Any] = {"algorithm": "leiden", "resolutions": [resolution], "hierarchy": 1}
    report = run(
        output_dir=str(folder / "out"), cache=str(folder / "cache"), runner="threads", workers=1, figures=False,
        report=False, DATASETS={"d": {"input": {"clustering": {"f": str(save(plain(n), folder, "h5ad"))}},
                                      "clustering": settings | {"recompute_neighbors": True}}},
    )["datasets"]["d/f"]  # fmt: skip
    assert "error" not in report, report["error"]
    return list(report["notices"])


@pytest.mark.parametrize(("resolution", "said"), [(1000.0, True), (0.5, False)])
def test_of_a_partition_in_which_every_cell_is_alone(resolution: float, said: bool, run: Run, tmp_path: Path) -> None:
    found = [notice for notice in notices(run, tmp_path, 60, resolution) if "cluster of its own" in notice]
    assert len(found) == said
    assert not said or ("at level 1 60 of 60 cells are each" in found[0] and "lower resolution" in found[0])


def test_of_fewer_cells_than_neighbors(run: Run, tmp_path: Path) -> None:
    assert (
        "the dataset has 10 cells, fewer than `n_neighbors: 15`: each gets 6 neighbors, itself counted, as in scanpy"
        in notices(run, tmp_path, 10, 0.5)
    )
