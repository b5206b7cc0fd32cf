"""What is forecast of a tree is what a run then does; nothing is computed or written for it."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.configs.hierarchy import Hierarchy
from cellstrata.tasks.cache.cache import Cache, Record, record_path
from cellstrata.tasks.forecast.expected_work import Guess, may_be_split
from cellstrata.tasks.forecast.split_times import AT_MOST, CHILDREN, SplitTimes, past_records
from cellstrata.tasks.forecast.trees import Seen, TreeForecast, forecast_tree
from cellstrata.tasks.trees.facts import SplitFacts
from cellstrata.tasks.trees.parent_column import clusters_of
from cellstrata.tasks.trees.plan import SplitSpec, TreePlan
from cellstrata.tasks.trees.tree import Tree
from tests.tasks.small import CELLS, Grown, cache_at, graph_of, grow, plan_for
from tests.tasks.trees.test_tree import HIERARCHIES, OTHER

ROUGH = SplitTimes.of([])
LEIDEN: Any = "leiden"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return cache_at(tmp_path / "cache")


def content(cache: Cache) -> str:
    """Return a digest of every file of a cache, its time included."""
    state = hashlib.sha256()
    for path in sorted(Path(cache.store.root).rglob("*")):
        state.update(f"{path} {path.stat().st_mtime_ns} ".encode() + (path.read_bytes() if path.is_file() else b""))
    return state.hexdigest()


def forecast(
    plan: TreePlan, cache: Cache, seen: set[Hashable] | None = None, times: SplitTimes = ROUGH, **more: Any
) -> TreeForecast:
    before = content(cache)
    found = forecast_tree(Tree(plan), cache, times, seen=Seen() if seen is None else seen, **more)
    assert content(cache) == before, "nothing is written"
    for level in found.levels.values():
        cells = level.cached_cells + level.to_compute_cells + level.whole_cells + level.unknown_cells
        assert cells == plan.n_cells, "every cell is accounted for at every level"
        assert level.seconds >= 0
        assert bool(level.to_compute) <= (level.seconds > 0)
    assert found.chain <= sum(level.seconds for level in found.levels.values()) + 1e-9
    return found


def counts(found: TreeForecast) -> list[tuple[int, int, int]]:
    return [(level.cached, level.to_compute, level.unknown_cells) for level in found.levels.values()]


def splits_by_level(grown: Grown) -> Counter[int]:
    return Counter(len(pending.path) + 1 for pending in grown.pending)


def forget(cache: Cache, keys: list[str]) -> None:
    for key in keys:
        cache.store.remove(record_path(key))


@settings(max_examples=40, deadline=None)
@given(HIERARCHIES, st.sampled_from([0.1, 1.0]), st.booleans(), st.data())
def test_what_is_known_is_what_a_run_does(hierarchy: Any, resolution: float, stored: bool, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_at(folder)
        try:
            plan = plan_for(
                cache, CELLS, hierarchy, resolution=resolution, min_cells=25, others={"other": OTHER},
                stored=graph_of(CELLS) if stored else None,
            )  # fmt: skip
        except ValueError:  # a hierarchy that asks for no split
            return
        cold = forecast(plan, cache)
        assert counts(cold)[0] == (0, 1, 0)
        assert all(level.cached == level.to_compute == 0 for level in list(cold.levels.values())[1:])
        grown = grow(plan, cache)
        assert {missing.key for missing in cold.missing} <= set(grown.executed)

        warm = forecast(plan, cache)
        assert warm.missing == []
        assert warm.chain == 0
        for level, found in warm.levels.items():
            assert (found.cached, found.to_compute, found.unknown_cells) == (splits_by_level(grown)[level], 0, 0)
            whole = [o for o in grown.tree.outcomes.values() if o.key is None and len(o.path) == level - 1]
            assert sum(found.whole.values()) == len(whole)
            assert found.whole_cells == sum(outcome.n_cells for outcome in whole)

        keys = sorted(set(grown.executed))
        forget(cache, data.draw(st.lists(st.sampled_from(keys), unique=True, max_size=3)))
        half = forecast(plan, cache)
        again = grow(plan, cache)
        assert again.labels() == grown.labels()
        below = [missing.path for missing in half.missing]
        known = [
            path
            for path, outcome in again.tree.outcomes.items()
            if outcome.key is not None and not any(path[: len(top)] == top != path for top in below)
        ]
        executed = [path for path in known if again.tree.outcomes[path].executed]
        assert sorted(executed) == sorted(below)
        assert {missing.path: missing.n_cells for missing in half.missing} == {
            path: again.tree.outcomes[path].n_cells for path in executed
        }
        for level, found in half.levels.items():
            here = [path for path in known if len(path) == level - 1]
            assert found.cached + found.to_compute == len(here)
            assert found.to_compute == len([path for path in executed if len(path) == level - 1])
            if not found.unknown_cells:
                assert len(here) == splits_by_level(again)[level], "all is known of this level"


def test_what_two_trees_share_is_computed_once(cache: Cache) -> None:
    hierarchy = {"levels": {1: 1.0, 2: 0.5, 3: {}}}
    first, second = (replace(plan_for(cache, CELLS, hierarchy), resolution=name) for name in (0.3, 0.7))
    other = plan_for(cache, CELLS, hierarchy, resolution=0.7)  # level 3 is split at the base resolution
    seen: set[Hashable] = set()
    halves = SplitTimes.of([made(182, 0.1, sizes=2)])
    assert counts(forecast(first, cache, seen, halves))[0] == (0, 1, 0)
    shared, differs = forecast(second, cache, seen, halves), forecast(other, cache, seen, halves)
    assert counts(shared)[0] == counts(differs)[0] == (1, 0, 0)
    assert shared.missing == differs.missing == []
    assert sum(level.seconds for level in shared.levels.values()) == 0
    assert [level.seconds > 0 for level in differs.levels.values()] == [False, False, True]
    done = grow(first, cache)
    assert len(done.executed) > 1
    assert grow(second, cache).executed == []
    known = forecast(other, cache)
    assert sorted(missing.key for missing in known.missing) == sorted(grow(other, cache).executed)


def test_refresh_computes_everything(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, 3)
    grown = grow(plan, cache)
    found = forecast(plan, cache, refresh=True)
    assert [level.to_compute for level in found.levels.values()] == [splits_by_level(grown)[n] for n in (1, 2, 3)]
    assert [level.cached for level in found.levels.values()] == [0, 0, 0]
    assert 0 < found.chain < sum(level.seconds for level in found.levels.values())
    assert len(grow(plan, cache, refresh=True).executed) == len(found.missing)


def test_below_a_given_partition(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, 3, n_neighbors=5)
    level1 = pd.Series(grow(plan, cache).column(1), name="leiden_0.5_1")
    given_ = clusters_of(level1, 1)
    found = forecast_tree(Tree(plan, given_), cache, ROUGH, seen=Seen())
    assert found.kept == 1
    assert list(found.levels) == [2, 3]
    assert found.levels[2].cached > 1
    assert found.levels[2].cached + sum(found.levels[2].whole.values()) == len(level1.cat.categories)
    forget(cache, [record_.key for record_ in past_records(cache) if record_.kind == "split"])
    cold = forecast_tree(Tree(plan, given_), cache, ROUGH, seen=Seen())
    assert (cold.levels[2].to_compute, cold.levels[2].cached) == (found.levels[2].cached, 0)
    assert cold.levels[3].unknown_cells == cold.levels[2].to_compute_cells
    assert found.levels[3].cached > 0


def test_without_its_embedding_nothing_is_known(cache: Cache) -> None:
    plan = replace(plan_for(cache, CELLS, 3), embeddings={}, root_graph="")
    found = forecast(plan, cache)
    assert counts(found) == [(0, 0, plan.n_cells)] * 3
    assert found.missing == []
    assert found.chain > 0
    # Level 1 on a stored graph is known; what is below it is not, while its embedding is to be computed.
    stored = plan_for(cache, CELLS, 2, stored=graph_of(CELLS))
    without = replace(stored, embeddings={})
    assert counts(forecast(without, cache)) == [(0, 1, 0), (0, 0, plan.n_cells)]
    grow(stored, cache)
    assert counts(forecast(without, cache)) == [(1, 0, 0), (0, 0, plan.n_cells)]


def test_clusters_that_are_not_asked_for(cache: Cache) -> None:
    plan = plan_for(cache, CELLS, {"1": 0.5, "3_0": 0.4})
    assert may_be_split(plan, (), 500, 2)
    assert may_be_split(plan, (), 500, 3)
    assert may_be_split(plan, (3,), 500, 3)
    assert not may_be_split(plan, (1,), 500, 3)
    assert not may_be_split(plan, (3,), 19, 3), "too few cells"
    everywhere = plan_for(cache, CELLS, {"levels": {3: {}}, "clusters": {"1": False}})
    assert may_be_split(everywhere, (0,), 500, 3)
    assert not may_be_split(everywhere, (1,), 500, 3)
    grow(plan, cache)
    whole = forecast(plan, cache).levels[2]
    assert whole.cached == 1
    assert whole.whole["not asked for"] > 0


def guess(plan: TreePlan, n_cells: int, grain: int = 0) -> Any:
    spec = plan.decide((), n_cells)
    assert isinstance(spec, SplitSpec)
    return Guess(plan, ROUGH, grain, set()).of((), n_cells, spec, "root")


def test_guesses_follow_the_hierarchy(cache: Cache) -> None:
    flat, deep = plan_for(cache, CELLS, 1), plan_for(cache, CELLS, 3)
    one, three = guess(flat, 100_000), guess(deep, 100_000)
    assert list(one.levels) == [1]
    assert list(three.levels) == [1, 2, 3]
    assert one.levels[1] == three.levels[1] == one.chain
    assert three.levels[2] == pytest.approx(CHILDREN * ROUGH.split(100_000 // CHILDREN, LEIDEN, with_graph=True))
    assert one.chain < three.chain < three.work
    assert guess(deep, 100_000, grain=10_000).chain > three.chain, "small clusters wait for one another"
    chosen = guess(plan_for(cache, CELLS, {"1": 0.5, "9": 0.5}), 100_000)  # of five, one is asked for
    assert chosen.levels[2] == pytest.approx(three.levels[2] / CHILDREN)
    assert list(guess(deep, 90).levels) == [1], "clusters of 18 cells are too small"
    assert guess(replace(deep, hierarchy=Hierarchy.parse(40)), 10**9).work > 0


def made(n_cells: int, seconds: float, sizes: int = 2, kind: str = "split", **more: Any) -> Record:
    facts = SplitFacts(
        n_cells=n_cells, sizes=(1,) * sizes, modularity=0.5, quality=0.5, note=None, graph="", n_edges=7, method="",
        n_neighbors=10, metric="euclidean", algorithm="leiden", resolution=0.5, n_iterations=2, seed=0,
        use_weights=True, engine="igraph", engine_version="igraph 1", seconds=seconds, created="", children=None,
        graph_built=True,
    )  # fmt: skip
    return Record(kind, "0" * 32, {**facts.to_json(), **more})


SAMPLES = st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-4, 1e3)), max_size=30)


@given(SAMPLES)
def test_more_cells_never_take_less(samples: list[tuple[int, float]]) -> None:
    times = SplitTimes.of([made(n, seconds) for n, seconds in samples])
    sizes = np.unique(np.geomspace(1, 1e8, 300).astype(int))
    for with_graph in (True, False):
        for algorithm in ("leiden", "louvain"):
            seconds = np.array([times.split(int(n), algorithm, with_graph=with_graph) for n in sizes])  # type: ignore[arg-type]
            assert (seconds > 0).all()
            assert np.isfinite(seconds).all()
            assert (np.diff(seconds) >= -1e-9 * seconds[1:]).all()
    assert times.n_splits == len(samples)
    assert times.rough == (not samples)


def test_an_ensemble_takes_as_long_as_its_runs_unless_past_ones_tell() -> None:
    singles = [made(n, ROUGH.split(n, LEIDEN, with_graph=True)) for n in (100, 5000, 40_000)]
    of_singles = SplitTimes.of(singles)
    for n in (100, 5000, 10**6):
        one, eight = (of_singles.split(n, LEIDEN, with_graph=False, runs=runs) for runs in (1, 8))
        assert 6 < eight / one < 8
    ensembles = [made(n, 50.0, runs=8, agreement=0.5, cores=[3], stability=[1.0]) for n in (4_000, 6_000)]
    told = SplitTimes.of([*singles, *ensembles])
    assert told.split(5_000, LEIDEN, with_graph=True, runs=8) == pytest.approx(50)
    assert told.split(5_000, LEIDEN, with_graph=True) == of_singles.split(5_000, LEIDEN, with_graph=True)


def test_past_splits_tell_of_future_ones() -> None:
    slow = [made(n, 7 * ROUGH.split(n, LEIDEN, with_graph=True), sizes=9) for n in (100, 800, 5000, 40_000)]
    times = SplitTimes.of([*slow, made(5000, 1e4)][:4])
    for n in (100, 300, 5000, 20_000, 10**6):
        ratio = times.split(n, LEIDEN, with_graph=True) / ROUGH.split(n, LEIDEN, with_graph=True)
        assert 5 < ratio < 9
        # What has no records of its own is as much slower as the rest.
        assert times.split(n, "louvain", with_graph=False) == pytest.approx(
            7 * ROUGH.split(n, "louvain", with_graph=False)
        )
        assert times.step("neighbors", n) == pytest.approx(7 * ROUGH.step("neighbors", n))
        assert times.children(n) == 9
    assert ROUGH.children(1000) == CHILDREN
    # One that was held up does not count for more than its bin's median.
    assert SplitTimes.of([*slow, *slow, made(800, 1e4)]).split(800, LEIDEN, with_graph=True) == pytest.approx(
        times.split(800, LEIDEN, with_graph=True)
    )
    graph = SplitTimes.of([made(5000, 2.0, kind="knn", threads=4)])
    assert graph.step("neighbors", 5000) == pytest.approx(2.0 * 4)
    assert graph.rough


@pytest.mark.parametrize(
    "body",
    [{"n_cells": "7"}, {"n_cells": 0}, {"seconds": 0.0}, {"seconds": None}, {"sizes": 3}, {"algorithm": "kmeans"},
     {"graph_built": None}, {"algorithm": "umap"}, {"threads": "two"}],
)  # fmt: skip
def test_records_that_tell_no_seconds_are_passed_over(body: dict[str, Any]) -> None:
    record = made(5, 1.0)
    assert SplitTimes.of([Record("split", record.key, record.body | body)]) == ROUGH
    assert SplitTimes.of([made(5, 1.0, kind="bundle"), Record("split", "", {})]) == ROUGH


def test_records_are_read_from_the_cache_and_the_one_behind(cache: Cache, tmp_path: Path, monkeypatch: Any) -> None:
    assert list(past_records(cache)) == []
    grown = grow(plan_for(cache, CELLS, 3), cache)
    before = content(cache)
    times = SplitTimes.of(past_records(cache))
    assert content(cache) == before
    assert times.n_splits == len(set(grown.executed)) < AT_MOST
    assert times.seconds.keys() == {"neighbors", "leiden", "leiden with its graph"}
    two = Cache(cache_at(tmp_path / "empty").store, cache.store)
    assert SplitTimes.of(past_records(two)) == times
    Path(cache.store.root, record_path(grown.executed[0])).write_text("{")
    assert SplitTimes.of(past_records(cache)).n_splits == times.n_splits - 1
    monkeypatch.setattr("cellstrata.tasks.forecast.split_times.AT_MOST", 7)
    keys = [record.key for record in past_records(two)]
    assert len(keys) in (6, 7)  # the damaged one may be among the first seven
    assert keys == sorted(keys)
