"""Every engine finds what it found when this was written: a new version of a package that finds less is seen here."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cellstrata.tasks.kernels.engines import PartitionSpec, load_engine
from cellstrata.tasks.kernels.graph import Graph, from_adjacency
from cellstrata.tasks.kernels.partition import partition
from tests.tasks.small import graph_of, karate, pbmc

SEEDS = 5


@cache
def graph(name: str) -> Graph:
    if name == "karate":
        return karate()
    if name == "pbmc":
        return from_adjacency(pbmc().obsp["connectivities"])[0]
    rng = np.random.default_rng(0)  # a cloud without clusters, where engines differ most
    return graph_of(rng.normal(size=(3000, 6)).astype(np.float32), 15)


# Mean modularity of five seeds, less a thousandth: igraph 1.0.0, leidenalg 0.12.0 set to refine by all neighbors
# (left as it is: cloud .6520 and .6570), libreville 0.1.1.
BOUNDS = {
    ("cellstrata", 2): {"karate": 0.4188, "pbmc": 0.8106, "cloud": 0.6575},
    ("cellstrata", -1): {"karate": 0.4188, "pbmc": 0.8108, "cloud": 0.6622},
    ("igraph", 2): {"karate": 0.4186, "pbmc": 0.8101, "cloud": 0.6575},
    ("igraph", -1): {"karate": 0.4188, "pbmc": 0.8111, "cloud": 0.6625},
    ("leidenalg", 2): {"karate": 0.4186, "pbmc": 0.8108, "cloud": 0.6573},
    ("leidenalg", -1): {"karate": 0.4188, "pbmc": 0.8111, "cloud": 0.6637},
    ("libreville", 2): {"karate": 0.4188, "pbmc": 0.8109, "cloud": 0.6563},
    ("libreville", -1): {"karate": 0.4188, "pbmc": 0.8111, "cloud": 0.6613},
}


def quality(engine: str, n_iterations: int, name: str) -> float:
    specs = [PartitionSpec("leiden", 1.0, n_iterations=n_iterations, seed=seed) for seed in range(SEEDS)]
    return float(np.mean([partition(graph(name), spec, load_engine(engine)).modularity for spec in specs]))


@pytest.mark.parametrize(("engine", "n_iterations"), BOUNDS)
def test_modularity_does_not_fall(engine: str, n_iterations: int) -> None:
    found = {name: quality(engine, n_iterations, name) for name in BOUNDS[engine, n_iterations]}
    assert not {name: q for name, q in found.items() if q < BOUNDS[engine, n_iterations][name]}


@pytest.mark.parametrize("engine", ["cellstrata", "igraph", "leidenalg", "libreville"])
def test_until_nothing_changes_is_more_than_one_iteration(engine: str) -> None:
    assert quality(engine, -1, "cloud") > quality(engine, 1, "cloud") + 0.002
