"""How long splits and graphs take: learnt from those that a cache has records of.

Seconds are those of one core. Where there are no records, built-in ones stand in, measured on one core
of a laptop: right in the order of magnitude.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

from cellstrata.configs.evidence import EvidenceConfig
from cellstrata.tasks.cache.cache import Cache, DamagedEntry, Record
from cellstrata.tasks.cache.record import SCHEME, parse_record
from cellstrata.tasks.evidence.halves import MOST_CELLS
from cellstrata.tasks.kernels.engines import Algorithm
from cellstrata.tasks.stores.json_values import WrongJson
from cellstrata.tasks.trees.facts import SplitFacts

AT_MOST, AT_MOST_AFAR = 3_000, 300  # records that are looked at: on a local disk, in a bucket
CHILDREN = 5  # of a cluster, where nothing is known

# Seconds to start with, and seconds for each cell times log2 of all.
BUILT_IN = {
    "neighbors": (0.005, 5.0e-6),
    "leiden": (0.005, 3.5e-6),
    "louvain": (0.005, 9.0e-6),
    "umap": (15.0, 5.0e-5),
    "pca": (6.0, 2.0e-5),
}
WITH_GRAPH, TIMES = " with its graph", " ×"  # of one split of what was done, and of an ensemble of so many runs
OF_A_RUN = 0.85  # of an ensemble, in single runs: joining them included, measured on 36,000 and 158,000 cells


@dataclass(frozen=True)
class Medians:
    """Medians of some value in bins of sizes: `sizes`, log2 of cells, are the medians of each bin."""

    sizes: tuple[float, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, samples: Iterable[tuple[int, float]]) -> Medians:
        """Take the medians of pairs of cells (at least 1) and a value."""
        bins: dict[int, list[tuple[float, float]]] = {}
        for n_cells, value in samples:
            size = math.log2(n_cells)
            bins.setdefault(round(size), []).append((size, value))
        pairs = [tuple(map(median, zip(*bins[size], strict=True))) for size in sorted(bins)]
        return cls(tuple(size for size, _ in pairs), tuple(value for _, value in pairs))

    def at(self, size: float) -> float:
        """Return the value at log2 of a number of cells, between the medians of its neighbours."""
        return float(np.interp(size, self.sizes, self.values))


@dataclass(frozen=True)
class SplitTimes:
    """What past work tells of future work. `n_splits` counts the splits that it is learnt from."""

    n_splits: int
    speed: float  # seconds as recorded over the built-in ones
    seconds: dict[str, Medians]  # log2 of them, by what was done
    n_children: Medians

    @classmethod
    def of(cls, records: Iterable[Record]) -> SplitTimes:
        """Learn from records of a cache; those that tell no seconds are passed over."""
        samples: dict[str, list[tuple[int, float]]] = {}
        children: list[tuple[int, float]] = []
        for record in records:
            if (sample := _sample(record)) is None:
                continue
            what, n_cells, seconds = sample
            samples.setdefault(what, []).append((n_cells, seconds))
            if record.kind == "split":
                children.append((n_cells, len(record.body["sizes"])))
        ratios = [seconds / _built_in(what, n) for what, pairs in samples.items() for n, seconds in pairs]
        curves = {what: Medians.of((n, math.log2(s)) for n, s in pairs) for what, pairs in samples.items()}
        rising = {what: Medians(c.sizes, tuple(np.maximum.accumulate(c.values))) for what, c in curves.items()}
        return cls(len(children), median(ratios) if ratios else 1.0, rising, Medians.of(children))

    @property
    def rough(self) -> bool:
        """Tell whether there are no past splits to learn from."""
        return self.n_splits == 0

    def split(self, n_cells: int, algorithm: Algorithm, *, with_graph: bool, runs: int = 1) -> float:
        """Return the seconds of a split of so many runs: with its own graph, or of level 1, whose graph is there."""
        what = algorithm + WITH_GRAPH * with_graph
        joined = f"{what}{TIMES}{runs}"
        if runs > 1 and joined not in self.seconds:
            return self._of(what, n_cells) * _built_in(joined, n_cells) / _built_in(what, n_cells)
        return self._of(joined if runs > 1 else what, n_cells)

    def evidence(self, n_cells: int, algorithm: Algorithm, draws: EvidenceConfig) -> float:
        """Return the seconds of the evidence for a split: two halves, or of a large cluster less, at each draw."""
        half = min(n_cells, MOST_CELLS) // 2
        return 2 * (draws.halves + draws.null) * self.split(half, algorithm, with_graph=True)

    def step(self, name: str, n_cells: int) -> float:
        """Return the seconds of `neighbors` (level 1's graph), `umap` or `pca`."""
        return self._of(name, n_cells)

    def children(self, n_cells: int) -> int:
        """Return into how many a cluster of this size may fall."""
        known = self.n_children
        return max(1, round(known.at(math.log2(max(n_cells, 1))))) if known.sizes else CHILDREN

    def _of(self, what: str, n_cells: int) -> float:
        known = self.seconds.get(what)
        if known is None:
            return self.speed * _built_in(what, n_cells)
        size = math.log2(max(n_cells, 1))
        nearest = min(max(size, known.sizes[0]), known.sizes[-1])
        beyond = _built_in(what, n_cells) / _built_in(what, 2**nearest) if nearest != size else 1.0
        return float(2 ** known.at(nearest) * beyond)


def past_records(cache: Cache) -> Iterator[Record]:
    """Yield the first records of a cache in the order of their keys, which chance has dealt.

    Reading them here is not using them: their times stay.
    """
    for store in cache.stores:
        left = AT_MOST if store.is_local else AT_MOST_AFAR
        for folder in store.list(f"v{SCHEME}/records"):
            names = [name for name in store.list(f"v{SCHEME}/records/{folder}") if name.endswith(".json")]
            for name in names[:left]:
                with contextlib.suppress(OSError, DamagedEntry):
                    record = parse_record(store.read(f"v{SCHEME}/records/{folder}/{name}"), name.removesuffix(".json"))
                    if record is not None:
                        yield record
            left -= len(names[:left])
            if not left:
                break


def _sample(record: Record) -> tuple[str, int, float] | None:
    """Return what was done for a record, its cells and its seconds of one core; None where it does not tell."""
    body = record.body
    n_cells, seconds, threads = body.get("n_cells"), body.get("seconds"), body.get("threads", 1)
    if not (isinstance(n_cells, int) and isinstance(seconds, float) and isinstance(threads, int)):
        return None
    if n_cells < 1 or seconds <= 0:
        return None
    if record.kind != "split":
        what = {"knn": "neighbors", "umap": "umap"}.get(record.kind)
        return None if what is None else (what, n_cells, seconds * threads)
    try:
        facts = SplitFacts.from_json(body)
    except WrongJson:
        return None
    if facts.graph_built is None:
        return None
    runs = f"{TIMES}{facts.runs}" if facts.runs else ""
    return f"{facts.algorithm}{WITH_GRAPH * facts.graph_built}{runs}", n_cells, seconds


def _built_in(what: str, n_cells: float) -> float:
    what, _, runs = what.partition(TIMES)
    own, with_graph = what.removesuffix(WITH_GRAPH), what.endswith(WITH_GRAPH)
    work = n_cells * math.log2(max(n_cells, 2))

    def seconds(part: str) -> float:
        return BUILT_IN[part][0] + BUILT_IN[part][1] * work

    return seconds(own) * (OF_A_RUN * int(runs) if runs else 1) + (seconds("neighbors") if with_graph else 0)
