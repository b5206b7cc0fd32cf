"""Ids that stay: of the same clusters under other numbers, of clusters that gain and lose cells, split and merge."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellstrata.tasks.matching.ids import Level, match_levels
from cellstrata.tasks.matching.overlap import overlaps
from cellstrata.tasks.trees.labels import Path, label_of
from tests.tasks.matching.partitions import COLUMNS, by_size, levels, matched

FIRST, SECOND = COLUMNS
Cells = dict[str, Path]
paths = st.tuples(st.integers(0, 3), st.integers(0, 2))
some_cells = st.lists(paths, min_size=1, max_size=60)


def numbered(cells: list[Path], names: list[str] | None = None) -> Cells:
    return dict(zip(names or [f"c{i}" for i in range(len(cells))], by_size(cells), strict=True))


@settings(max_examples=80, deadline=None)
@given(some_cells, st.randoms(use_true_random=False))
def test_a_permutation_of_the_ids_gives_the_ids_back(cells: list[Path], chance: random.Random) -> None:
    new = numbered(cells)
    numbers = {parent: chance.sample(range(9), 9) for parent in {(), *(path[:1] for path in new.values())}}
    earlier = {name: (numbers[()][a], numbers[(a,)][b]) for name, (a, b) in new.items()}
    found, known = matched(new, earlier)
    assert found == earlier
    assert not any(of.retired for of in known.values())
    assert all(one.overlap == 1 and not one.new for of in known.values() for one in of.kin.values())


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(6, 12), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_clusters_that_lose_and_gain_some_cells_keep_their_ids(sizes: list[int], chance: random.Random) -> None:
    earlier = {f"{a}-{b}-{i}": (a, b) for a, size in enumerate(sizes) for b in (0, 1) for i in range(size)}
    new = dict(earlier)
    for a, size in enumerate(sizes):
        for b in (0, 1):
            for i in chance.sample(range(size), size // 3):
                del new[f"{a}-{b}-{i}"]  # cells that only the earlier result has
            new |= {f"{a}-{b}-more{i}": (a, b) for i in range(chance.randrange(20))}  # and only the new one
    want = dict(new)
    found, _ = matched(dict(zip(new, by_size(list(new.values())), strict=True)), earlier)
    assert found == want


@settings(max_examples=60, deadline=None)
@given(st.lists(some_cells, min_size=4, max_size=4), st.lists(st.sampled_from(COLUMNS), min_size=4, max_size=4))
def test_an_id_that_was_given_up_is_never_given_again(generations: list[list[Path]], last: list[str]) -> None:
    """Over four generations, of which some lack the second level."""
    ever: dict[str, set[str]] = {column: set() for column in COLUMNS}
    earlier: dict[str, Level] = {}
    retired: dict[str, tuple[str, ...]] = {}
    for cells, deepest in zip(generations, last, strict=True):
        n = min(map(len, generations))
        made = levels(by_size(cells)[:n])[: 2 if deepest == SECOND else 1]
        found = match_levels(made, earlier, retired)
        now = {}
        for level in made:
            ids = found[level.column]
            given_now = set(ids.labels.values())
            before = set(earlier[level.column].labels) if level.column in earlier else set()
            assert given_now - before == {ids.labels[label] for label, one in ids.kin.items() if one.new}
            assert not (given_now - before) & ever[level.column], "an id that was given up comes again"
            assert len(given_now) == len(level.labels)
            parents = [label.rpartition("_")[0] for label in ids.labels.values()]
            assert parents == [found[FIRST].labels[p] if p else "" for p in level.parents]
            ever[level.column] |= given_now
            labels = tuple(ids.labels[label] for label in level.labels)
            now[level.column] = Level(level.column, level.codes, labels, tuple(parents), level.above)
        carried = {c: (*of.labels, *retired.get(c, ())) for c, of in earlier.items() if c not in now}
        kept = {c: labels for c, labels in retired.items() if c not in now}
        earlier, retired = now, {**kept, **carried, **{c: of.retired for c, of in found.items()}}


def of_sizes(**sizes: int) -> Iterator[tuple[str, str]]:
    """Cells of clusters, named by where they come from."""
    return ((cluster, f"{cluster}{i}") for cluster, size in sizes.items() for i in range(size))


def partition(cells: dict[str, str]) -> Cells:
    """Clusters of level 1 by the label of each cell, each of one child."""
    return {name: (int(label), 0) for name, label in cells.items()}


def test_the_larger_part_of_a_split_keeps_the_id() -> None:
    earlier = partition({f"c{i}": "0" if i < 100 else "1" for i in range(150)})
    new = partition({f"c{i}": "1" if i < 60 else "2" if i < 100 else "0" for i in range(150)})
    found, known = matched(new, earlier)
    assert {found[f"c{i}"][0] for i in range(60)} == {0}
    assert {found[f"c{i}"][0] for i in range(60, 100)} == {2}
    assert {found[f"c{i}"][0] for i in range(100, 150)} == {1}
    kin = {known[FIRST].labels[label]: one for label, one in known[FIRST].kin.items()}
    assert (kin["0"].split_from, kin["2"].split_from, kin["1"].split_from) == ("0", "0", "")
    assert (kin["0"].overlap, kin["2"].overlap, kin["2"].was, kin["2"].new) == (0.6, 0.4, "0", True)


def test_clusters_that_are_merged_give_up_all_ids_but_one() -> None:
    earlier = partition({f"c{i}": "0" if i < 60 else "1" if i < 100 else "2" for i in range(130)})
    new = partition({f"c{i}": "0" if i < 100 else "1" for i in range(130)})
    found, known = matched(new, earlier)
    assert (found["c0"][0], found["c99"][0], found["c100"][0]) == (0, 0, 2)
    assert known[FIRST].retired == ("1",)
    assert known[FIRST].kin["0"].merged_from == ("0", "1")
    assert known[FIRST].kin["1"].merged_from == ()
    again, known = matched({name: (path[0], 0) for name, path in earlier.items()}, found, {FIRST: ["1"]})
    assert (again["c0"][0], again["c60"][0], again["c100"][0]) == (0, 3, 2), "1 was given up"
    assert known[FIRST].retired == ("1",)


def test_children_have_ids_within_the_parent_whose_id_their_parent_has() -> None:
    earlier = {f"c{i}": (0, 0) if i < 40 else (0, 1) if i < 60 else (1, 0) for i in range(100)}
    new = {f"c{i}": (1, 0) if i < 40 else (0, 0) if i < 60 else (0, 1) for i in range(100)}  # c40 to c59 moved
    found, known = matched(new, earlier)
    assert found["c0"] == (0, 0)
    assert (found["c60"], found["c40"]) == ((1, 0), (1, 1)), "0_1 is within another parent now, and gets a new id"
    kin = known[SECOND].kin["0_0"]
    assert (kin.was, kin.overlap, kin.new) == ("0_1", 1.0, True)
    assert known[SECOND].retired == ("0_1",)


def test_a_column_that_the_earlier_result_lacks_is_numbered_by_size() -> None:
    made = levels(by_size([(0, 0)] * 5 + [(1, 0)] * 3 + [(1, 1)] * 2))
    found = match_levels(made, {}, {})
    assert all(label == new for of in found.values() for label, new in of.labels.items())
    assert all(one.new and not one.was and one.overlap is None for of in found.values() for one in of.kin.values())


def test_new_numbers_pass_over_those_that_are_in_use_and_given_up() -> None:
    ours = Level(FIRST, np.array([0, 1, 2], np.int32), ("0", "1", "2"), ("", "", ""))
    theirs = Level(FIRST, np.array([-1, 0, -1], np.int32), ("1", "4"), ("", ""))
    found = match_levels([ours], {FIRST: theirs}, {FIRST: ["0", "3"]})[FIRST]
    assert found.labels == {"0": "2", "1": "1", "2": "5"}
    assert found.retired == ("0", "3", "4")


def test_overlaps_are_counted_over_the_cells_of_both() -> None:
    found = overlaps(np.array([0, 0, 1, -1], np.int32), np.array([0, 1, 1, 1], np.int32), 2, 2)
    assert found.jaccard.tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 3])
    assert found.best() == {0: (0, 0.5), 1: (1, pytest.approx(1 / 3))}
    assert label_of((1, 2)) == "1_2"
