from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellstrata.tasks.trees.parent_column import NoParent, Parent, clusters_of, find_parent

COLUMNS = ["donor", "leiden_0.5_1", "leiden_1.0_1", "leiden_1.0_2", "louvain_0.3_1", "n_1"]


@pytest.mark.parametrize(
    ("algorithm", "resolution", "level", "key", "expected"),
    [
        ("leiden", 0.5, 2, None, Parent("leiden_0.5_1", 0.5)),
        ("leiden", 1, 2, None, Parent("leiden_1.0_1", 1.0)),
        ("leiden", 0.2, 3, None, Parent("leiden_1.0_2", 1.0)),  # the one of its level, whatever its resolution
        ("louvain", 7.0, 2, None, Parent("louvain_0.3_1", 0.3)),
        ("leiden", 0.2, 2, "leiden_0.5_1", Parent("leiden_0.5_1", 0.5)),
        ("leiden", 0.2, 2, "louvain_0.3_1", Parent("louvain_0.3_1", 0.3)),
        ("leiden", 0.2, 2, "donor", Parent("donor", None)),
        ("leiden", 0.2, 3, "leiden_0.5_1", Parent("leiden_0.5_1", None)),  # of another level: a name like any other
    ],
)
def test_found(algorithm: str, resolution: float, level: int, key: str | None, expected: Parent) -> None:
    assert find_parent(COLUMNS, algorithm, resolution, level, key) == expected


@pytest.mark.parametrize(
    ("columns", "algorithm", "level", "key", "words"),
    [
        (COLUMNS, "leiden", 2, None, ["leiden_0.5_1, leiden_1.0_1", "--resolution", "--parent_key"]),
        (COLUMNS, "leiden", 4, None, ["leiden_…_3", "--parent_key", "leiden_1.0_2"]),
        (COLUMNS, "louvain", 3, None, ["louvain_…_2", "cluster level 2 first"]),
        (COLUMNS, "leiden", 2, "leiden_0.5", ["'leiden_0.5'", "did you mean `leiden_0.5_1`"]),
        (["leiden_0.2_1", "leiden_0.20_1"], "leiden", 2, None, ["leiden_0.2_1, leiden_0.20_1"]),  # C12
        ([], "leiden", 2, None, ["no columns"]),
        (["leiden_e.e_1"], "leiden", 2, None, ["no column leiden_…_1"]),
    ],
)
def test_not_found(columns: list[str], algorithm: str, level: int, key: str | None, words: list[str]) -> None:
    with pytest.raises(NoParent) as caught:
        find_parent(columns, algorithm, 0.2, level, key)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("values", "level", "labels"),
    [
        (pd.Categorical(["1", "0", "1", None]), 1, {(0,): "0", (1,): "1"}),
        (pd.Categorical(["0_1", "0_0", "0_1", "2_0"]), 2, {(0, 0): "0_0", (0, 1): "0_1", (2, 0): "2_0"}),
        (pd.Categorical(["001", "1", "01", "1"]), 1, {(0,): "001", (1,): "01", (2,): "1"}),
        (["b", "a", "b", "a"], 1, {(0,): "a", (1,): "b"}),
        (["T cell", "B", "B", "B"], 3, {(0, 0, 0): "B", (0, 0, 1): "T cell"}),
        ([3, 1, 3, 3], 1, {(1,): "1", (3,): "3"}),
        ([3.0, 1.0, np.nan, 3.0], 1, {(1,): "1", (3,): "3"}),  # what the ancestor made of labels with gaps
        ([True, False, True, True], 1, {(0,): "False", (1,): "True"}),
        (pd.Categorical(["0", "0", "1", "1"], categories=["5", "1", "0"]), 1, {(0,): "0", (1,): "1"}),
        ([None] * 4, 1, {}),
    ],
)
def test_labels_and_their_paths(values: Any, level: int, labels: dict[tuple[int, ...], str]) -> None:
    given = clusters_of(pd.Series(values, name="parent"), level)
    assert dict(given.labels) == labels
    assert (given.column, given.level) == ("parent", level)
    assert {node.path for node in given.nodes} == set(labels)


@pytest.mark.parametrize(("values", "word"), [([0.5, 1.0], "not whole"), ([1, "1"], "written the same")])
def test_what_holds_no_clusters(values: Any, word: str) -> None:
    with pytest.raises(NoParent, match=word):
        clusters_of(pd.Series(pd.Categorical(values), name="parent"), 1)


@given(st.lists(st.one_of(st.none(), st.sampled_from(["0", "1", "10", "2", "x", "007"])), max_size=40))
def test_every_labelled_cell_is_in_one_node_and_no_other(values: list[str | None]) -> None:
    given = clusters_of(pd.Series(values, name="parent", dtype=object), 1)
    seen = np.concatenate([node.rows for node in given.nodes]) if given.nodes else np.empty(0, int)
    assert sorted(seen.tolist()) == [row for row, value in enumerate(values) if value is not None]
    for node in given.nodes:
        assert node.rows.dtype == np.int32
        assert (np.diff(node.rows) > 0).all()
        assert {values[row] for row in node.rows} == {given.labels[node.path]}
