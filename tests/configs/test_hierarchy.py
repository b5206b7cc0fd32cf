from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.configs.embedding import EmbeddingConfig
from cellstrata.configs.errors import ConfigError
from cellstrata.configs.evidence import AUTO, NEVER
from cellstrata.configs.hierarchy import MOST_LEVELS, Hierarchy, LevelParameters

NONE = LevelParameters()


def resolution(written: Any, path: tuple[int, ...]) -> float | str | None:
    parameters = Hierarchy.parse(written).parameters(path)
    return "whole" if parameters is None else parameters.resolution


@pytest.mark.parametrize("written", [None, False, 1, "1"])
def test_one_level(written: Any) -> None:
    hierarchy = Hierarchy.parse(written)
    assert hierarchy.depth == 1
    assert hierarchy.parameters(()) == NONE
    assert hierarchy.parameters((0,)) is None


@pytest.mark.parametrize("written", [3, "3"])
def test_integer(written: Any) -> None:
    hierarchy = Hierarchy.parse(written)
    assert hierarchy.depth == 3
    assert [hierarchy.parameters(path) for path in [(), (7,), (7, 1), (7, 1, 0)]] == [NONE, NONE, NONE, None]


def test_named_clusters_only() -> None:
    written = {1: 0.1, 3: 0.2, "5_0": {"resolution": 0.4, "min_cells": 9}}
    hierarchy = Hierarchy.parse(written)
    assert hierarchy.depth == 3
    assert resolution(written, ()) is None
    assert resolution(written, (1,)) == 0.1
    assert resolution(written, (0,)) == "whole"
    assert resolution(written, (5,)) == "whole"
    assert hierarchy.parameters((5, 0)) == LevelParameters(resolution=0.4, min_cells=9)
    assert resolution(written, (1, 0)) == "whole"
    assert hierarchy.named_clusters() == [(1,), (3,), (5, 0)]
    assert not hierarchy.looks_like_levels


def test_levels_and_clusters() -> None:
    written = {
        "levels": {1: 0.9, "2": {"resolution": 0.2, "min_cells": 50}, 4: {}},
        "clusters": {"1_2_1_0_0": {"seed": 3}, "2": {"resolution": 0.7}, "4": False, "4_0": 0.3},
    }
    hierarchy = Hierarchy.parse(written)
    assert hierarchy.depth == 6
    assert resolution(written, ()) == 0.9
    assert hierarchy.parameters((0,)) == LevelParameters(resolution=0.2, min_cells=50)
    assert hierarchy.parameters((2,)) == LevelParameters(resolution=0.7, min_cells=50)
    assert hierarchy.parameters((2, 0)) == NONE  # a gap: the base
    assert resolution(written, (4,)) == "whole"
    assert resolution(written, (4, 0)) == 0.3
    assert resolution(written, (4, 0, 1)) == "whole"
    assert resolution(written, (4, 1)) == "whole"
    assert hierarchy.parameters((0, 0, 0)) == NONE
    assert resolution(written, (0, 0, 0, 0)) == "whole"
    assert hierarchy.parameters((1, 2, 1, 0, 0)) == LevelParameters(seed=3)


def test_false_does_not_deepen() -> None:
    assert Hierarchy.parse({"levels": {2: 0.2}, "clusters": {"4_1_2": False}}).depth == 2


def test_clusters_of_one_tree() -> None:
    written = {
        "levels": {2: {"min_cells": 50}},
        "clusters": {"3": 0.4, "leiden_0.5:3": {"resolution": 0.8}, "leiden_1:3_1": 0.1, "louvain_0.5:0": False},
    }
    whole = Hierarchy.parse(written)
    assert whole.depth == 3
    assert whole.named_clusters() == [(3,)]
    assert sorted(parameters.resolution or 0 for parameters in whole.all_parameters()) == [0.1, 0.4, 0.8]
    of = {name: whole.of(*name) for name in [("leiden", 0.5), ("leiden", 1.0), ("louvain", 0.5), ("louvain", 1.0)]}
    assert {tree.depth for tree in of.values()} == {3}
    assert of["leiden", 0.5].parameters((3,)) == LevelParameters(resolution=0.8, min_cells=50)
    for name in [("leiden", 1.0), ("louvain", 0.5), ("louvain", 1.0)]:
        assert of[name].parameters((3,)) == LevelParameters(resolution=0.4, min_cells=50)
    assert of["leiden", 1.0].parameters((3, 1)) == LevelParameters(resolution=0.1)
    assert of["leiden", 0.5].parameters((3, 1)) is None
    assert of["louvain", 0.5].parameters((0,)) is None
    assert of["leiden", 0.5].parameters((0,)) == LevelParameters(min_cells=50)
    assert of["leiden", 1.0].named_clusters() == [(3,), (3, 1)]


def test_clusters_of_one_tree_without_the_key_clusters() -> None:
    hierarchy = Hierarchy.parse({"leiden_0.5:3": 0.4})
    assert (hierarchy.depth, hierarchy.looks_like_levels) == (2, False)
    assert hierarchy.of("leiden", 0.5).parameters((3,)) == LevelParameters(resolution=0.4)
    assert hierarchy.of("leiden", 0.6).parameters((3,)) is None


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"leiden:3": 0.1}, "leiden_0.5:3_0"),
        ({"leiden_0.5.1:3": 0.1}, "no cluster id"),
        ({"leiden_0.5:": 0.1}, "no cluster id"),
        ({"leiden_0.5:3": 0.1, "leiden_0.50:3": 0.2}, "cluster leiden_0.5:3 is given twice"),
        ({"levels": {"leiden_0.5:3_0": 0.1}}, "go under `clusters`"),
        (0, "at least 1"),
        (-2, "at least 1"),
        (True, "hierarchy: 2"),
        (2.5, "not `2.5`"),
        (3.0, "write 3"),
        ("deep", "not `'deep'`"),
        ("0", "at least 1"),
        ([0.1, 0.2], "hierarchy: 2"),
        ([], "not a list"),
        ({}, "empty"),
        ({"a_b": 0.1}, "a_b"),
        ({"1__2": 0.1}, 'did you mean "1_2"?'),
        ({"1.2.1": 0.1}, 'did you mean "1_2_1"?'),
        ({1.2: 0.1}, 'did you mean "1_2"?'),
        ({-1: 0.1}, "no cluster id"),
        ({True: 0.1}, "no cluster id"),
        ({"level": {2: 0.1}}, "did you mean `levels`?"),
        ({1: 0}, "greater than 0"),
        ({1: -1}, "greater than 0"),
        ({1: float("nan")}, "greater than 0"),
        ({1: True}, "must be a resolution"),
        ({1: None}, "write {}"),
        ({1: "0.2"}, "write 0.2 without quotes"),
        ({1: False}, "no meaning"),
        ({1: {"resolutoin": 0.1}}, "did you mean `resolution`?"),
        ({1: {"n_neighbors": 1}}, "at least 2"),
        ({1: {"metric": "cosin"}}, "did you mean `cosine`?"),
        ({1: {"n_iterations": 0}}, "or -1"),
        ({1: {"seed": True}}, "whole number"),
        ({1: {"ensemble": 0}}, "from 1 to 1000, or `auto`"),
        ({2: 0.1, "2": 0.2}, "cluster 2 is given twice"),
        ({"levels": {2: 0.1, "2": 0.2}}, "level 2 is given twice"),
        ({"levels": {0: 0.1}}, "levels count from 1"),
        ({"levels": {"3_0": 0.1}}, "go under `clusters`"),
        ({"levels": {1: False}}, "cannot be left out"),
        ({"levels": 3}, "levels: must be a mapping"),
        ({"levels": {}}, "no split at all"),
        ({"clusters": {"4": False}}, "no split at all"),
        ({"levels": {2: 0.1}, 3: 0.2}, "under `levels` or under `clusters`"),
        ({"levels": {2: 0.1}, "cluster": {1: 0.1}}, "did you mean `clusters`?"),
        ({"clusters": None}, "clusters: must be a mapping"),
    ],
)
def test_refused(written: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Hierarchy.parse(written)
    assert words in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Hierarchy.parse({"levels": {0: 1, 2: {"k": 3}}, "clusters": {"x": 1}, "more": 1})
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({1: 0.1, 3: 0.2}, True),
        ({"1": 0.1}, True),
        ({0: 0.1, 3: 0.2}, False),
        ({"3_0": 0.1, 1: 0.2}, False),
        ({"clusters": {1: 0.1}}, False),
        (3, False),
    ],
)
def test_looks_like_levels(written: Any, expected: bool) -> None:
    assert Hierarchy.parse(written).looks_like_levels is expected


PATHS = st.lists(st.integers(0, 3), max_size=5).map(tuple)
IDS = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)
RESOLUTIONS = st.floats(0.01, 5)


@given(st.integers(1, 9), PATHS)
def test_integer_depth(depth: int, path: tuple[int, ...]) -> None:
    hierarchy = Hierarchy.parse(depth)
    assert hierarchy.depth == depth
    assert (hierarchy.parameters(path) is not None) == (len(path) < depth)


@given(st.dictionaries(IDS, RESOLUTIONS, min_size=1), PATHS)
def test_clusters_by_id(ids: dict[tuple[int, ...], float], path: tuple[int, ...]) -> None:
    hierarchy = Hierarchy.parse({"_".join(map(str, key)): value for key, value in ids.items()})
    assert hierarchy.depth == max(map(len, ids)) + 1
    got = hierarchy.parameters(path)
    if path == ():
        assert got == NONE
    else:
        assert (got.resolution if got else None) == ids.get(path)


@given(
    st.dictionaries(st.integers(1, 5), RESOLUTIONS, min_size=1),
    st.dictionaries(IDS, RESOLUTIONS | st.just(False)),
    PATHS,
)
def test_levels_beside_clusters(
    levels: dict[int, float], clusters: dict[tuple[int, ...], float], path: tuple[int, ...]
) -> None:
    written = {
        "levels": levels,
        "clusters": {"_".join(map(str, key)): value for key, value in clusters.items()},
    }
    hierarchy = Hierarchy.parse(written)
    assert hierarchy.depth == max([*levels, *(len(key) + 1 for key, value in clusters.items() if value)])
    got = hierarchy.parameters(path)
    level = len(path) + 1
    if path in clusters:
        assert (got.resolution if got else False) == clusters[path]
    elif any(clusters.get(path[:n]) is False for n in range(1, level)) or level > max(levels):
        assert got is None
    else:
        assert got is not None
        assert got.resolution == levels.get(level)
    again = Hierarchy.parse(hierarchy.spelling)
    assert again == hierarchy
    assert pickle.loads(pickle.dumps(hierarchy)) == hierarchy


@given(PATHS)
def test_until_stable_has_a_bound_and_no_number(path: tuple[int, ...]) -> None:
    hierarchy = Hierarchy.parse("until_stable")
    assert hierarchy.until_stable
    assert hierarchy.depth == MOST_LEVELS
    assert hierarchy.parameters(path) == NONE
    assert Hierarchy.parse(hierarchy.spelling) == hierarchy
    assert not Hierarchy.parse(MOST_LEVELS).until_stable


def test_rules_of_a_level_and_of_a_cluster() -> None:
    hierarchy = Hierarchy.parse(
        {"levels": {1: {}, 2: {"stop": "auto"}, 3: 0.3}, "clusters": {"0": {"stop": False}, "1": 0.7}}
    )
    assert [hierarchy.parameters(path).stop for path in [(), (2,), (0,), (1,), (1, 1)]] == [
        None, AUTO, NEVER, AUTO, None,
    ]  # fmt: skip
    assert Hierarchy.parse(hierarchy.spelling) == hierarchy


@pytest.mark.parametrize(
    ("level", "cluster", "method"),
    [
        ({"embedding": "pca"}, {"use_rep": "X_scvi"}, None),
        ({"use_rep": "X_scvi"}, {"embedding": "pca"}, "pca"),
        ({"embedding": "pca"}, {"embedding": "hvg_pca"}, "hvg_pca"),
        ({"embedding": "pca"}, {"n_neighbors": 5}, "pca"),
        ({}, {"embedding": "reuse"}, None),
        ({}, {}, "hvg_pca"),
    ],
)
def test_a_cluster_has_the_embedding_that_is_named_last(level: Any, cluster: Any, method: str | None) -> None:
    hierarchy = Hierarchy.parse({"levels": {2: level}, "clusters": {"1": cluster}})
    parameters = hierarchy.parameters((1,))
    assert parameters is not None
    own = parameters.own_embedding(EmbeddingConfig(method="hvg_pca"))
    assert (own and own.method) == method
