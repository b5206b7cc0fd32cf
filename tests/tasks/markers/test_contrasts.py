"""Which clusters are sisters, and what is left out."""

from __future__ import annotations

import numpy as np

from cellstrata.tasks.markers.contrasts import ClusterColumn, Contrast, contrasts


def column(**sizes: int) -> ClusterColumn:
    """A column with clusters of these sizes, `_1_1=5`; a cluster's parent is all but the last number."""
    labels = tuple(name.strip("_") for name in sizes)
    codes = np.repeat(np.arange(len(labels), dtype=np.int32), list(sizes.values()))
    return ClusterColumn("c", codes, labels, tuple(label.rpartition("_")[0] for label in labels))


def test_sisters_are_children_of_one_parent_by_path() -> None:
    of = column(_1_0=20, _1_1=20, _10_0=20, _10_1=20, _1_2=0)
    assert [of.sisters(cluster) for cluster in range(4)] == [(1,), (0,), (3,), (2,)]
    first = column(_0=5, _1=5, _10=5)
    assert [first.sisters(cluster) for cluster in range(3)] == [(1, 2), (0, 2), (0, 1)]


def test_small_clusters_and_single_children_are_left_out_and_said() -> None:
    of = column(_0_0=20, _0_1=20, _1_0=30, _2_0=9, _2_1=40, _3_0=0)
    found, said = contrasts([of], ("sisters", "all"), 10)
    assert [(one.cluster, one.against) for one in found] == [
        (0, "sisters"), (0, "all"), (1, "sisters"), (1, "all"), (2, "all"), (4, "all"),
    ]  # fmt: skip
    assert said == [
        "c: 2_0 has fewer than 10 cells, so no markers",
        "c: 1_0 has no sisters to be compared with",
        "c: 2_1 has fewer than 10 cells to be compared with",
    ]


def test_a_single_cluster_has_nothing_beside_it() -> None:
    found, said = contrasts([column(_0=50)], ("all",), 10)
    assert (found, len(said)) == ([], 1)
    with_others = ClusterColumn("c", np.array([0] * 50 + [-1] * 50, np.int32), ("0",), ("",))
    assert contrasts([with_others], ("all",), 10) == ([Contrast(0, 0, "all")], [])


def test_many_are_shortened() -> None:
    _, said = contrasts([column(**{f"_{i}": 3 for i in range(9)})], ("all",), 10)
    assert said == ["c: 0, 1, 2, 3, 4 and 4 more have fewer than 10 cells, so no markers"]
