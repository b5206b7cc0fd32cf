"""What a page tells of, generated: many cells and trees at once, without clustering any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from cellstrata.tasks.colours.palette import category_palette
from cellstrata.tasks.evaluation.covariates import Categories, Numbers
from cellstrata.tasks.report.subject import Subject, View
from cellstrata.tasks.trees.column_facts import ColumnFacts

TOP, BELOW = 12, 6
NAN = float("nan")


def subject_of_size(n: int, n_trees: int) -> Subject:
    """Cells at random in 12 clouds; of each tree's 12 clusters each has 6 of its own; three covariates."""
    rng = np.random.default_rng(1)
    top = rng.integers(0, TOP, n)
    points = (rng.normal(size=(TOP, 2)) * 10)[top] + rng.normal(size=(n, 2))
    rows, facts, labels = [], {}, {}
    for number in range(n_trees):
        resolution = (number + 1) / 10
        below = top * BELOW + rng.integers(0, BELOW, n)
        for level, codes in ((1, top), (2, below)):
            column, last = f"leiden_{resolution}_{level}", level == 2
            names = [f"{c // BELOW}_{c % BELOW}" if last else str(c) for c in range(TOP * (BELOW if last else 1))]
            facts[column] = ColumnFacts(
                algorithm="leiden", base_resolution=resolution, level=level, resolutions_used=(resolution,),
                engine="igraph", engine_reason="",
            )  # fmt: skip
            labels[column] = pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object))
            sizes = np.bincount(codes, minlength=len(names))
            rows += [
                {
                    "column": column, "cluster": name, "parent": name.split("_")[0] if last else "", "level": level,
                    "n_cells": int(size), "n_children": 0 if last else BELOW, "reason": "last level" if last else "",
                    "resolution": NAN if last else resolution, "n_neighbors": 0 if last else 15, "embedding": "X_pca",
                    "metric": "euclidean", "modularity": NAN if last else 0.5, "engine": "igraph 1.0", "seconds": 0.1,
                    "key": "" if last else "k", "from_cache": False,
                }
                for name, size in zip(names, sizes, strict=True)
            ]  # fmt: skip
    covariates = (
        _categories("cell_type", (top + rng.integers(0, 3, n)).astype(np.int32), [f"t{i}" for i in range(TOP + 2)]),
        _categories("donor", rng.integers(0, 100, n).astype(np.int32), [f"d{i}" for i in range(100)]),
        Numbers("n_genes", rng.lognormal(7, 1, n)),
    )
    view = View("UMAP", "computed", points.astype(np.float32))
    return Subject("big/one", n, pd.DataFrame(rows), facts, labels, view, covariates)


def _categories(name: str, codes: npt.NDArray[np.int32], labels: list[str]) -> Categories:
    return Categories(name, codes, tuple(labels), category_palette(labels))
