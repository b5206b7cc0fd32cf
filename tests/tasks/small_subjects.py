"""What a page tells of, generated: many cells and trees at once, without clustering any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from cellstrata.tasks.colours.palette import category_palette
from cellstrata.tasks.evaluation.covariates import Categories, Numbers
from cellstrata.tasks.markers.contrasts import ClusterColumn, contrasts
from cellstrata.tasks.markers.families import families
from cellstrata.tasks.markers.ranked_genes import RankedGenes
from cellstrata.tasks.report.subject import Subject, View
from cellstrata.tasks.results.marker_genes import Markers, cluster_markers
from cellstrata.tasks.results.marker_profiles import profiles
from cellstrata.tasks.trees.column_facts import ColumnFacts

TOP, BELOW = 12, 6
N_GENES = 400
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


def marked(subject: Subject, best: int = 7) -> Subject:
    """Give a subject marker genes of all clusters against both, drawn at random, of which each has `best`."""
    rng = np.random.default_rng(2)
    parents = dict(zip(zip(subject.tree["column"], subject.tree["cluster"], strict=True), subject.tree["parent"],
                       strict=True))  # fmt: skip
    columns = []
    for name, labels in subject.labels.items():
        named = tuple(map(str, labels.categories))
        columns.append(
            ClusterColumn(name, labels.codes.astype(np.int32), named, tuple(parents[name, of] for of in named))
        )
    asked, _ = contrasts(columns, ("sisters", "all"), 2)
    tests = [_ranked(rng, best) for _ in asked]
    made = families(columns, asked, tests)
    size = sum(int(np.prod(family.shape)) for family in made)
    values = np.stack([rng.gamma(1.0, 1.0, size), rng.random(size)]).astype(np.float32)
    names = np.array([f"GENE{i}" for i in range(N_GENES)], dtype=object)
    found = cluster_markers(columns, asked, tests)
    profiled = profiles(columns, made, values)
    return replace(subject, markers=Markers("markers.parquet", found, names, "X", "logarithms", (), "", profiled))


def _ranked(rng: np.random.Generator, best: int) -> RankedGenes:
    genes, numbers = rng.choice(N_GENES, best, replace=False), np.ones(best)
    changes = np.where(np.arange(best) == 1, -1.0, 1.0)  # the second best is what the others have more of
    return RankedGenes(genes, np.sort(rng.gamma(5.0, 1.0, best))[::-1], changes, numbers, numbers, numbers, numbers)
