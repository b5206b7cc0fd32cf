"""Replicability: halves of the cells, clustered apart, agree where there are groups and only there."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from cellstrata.tasks.evidence.halves import MOST_CELLS, Floats, Labels, replicability


def by_sign(points: Floats, seed: int) -> Labels:
    """Two groups, on either side of the first coordinate's zero."""
    return (points[:, 0] > 0).astype(np.int32)


def at_random(points: Floats, seed: int) -> Labels:
    return np.random.default_rng([seed, int(abs(points[0, 0]) * 1e6)]).integers(0, 3, len(points)).astype(np.int32)


def groups(n: int = 600, apart: float = 8.0) -> Floats:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(n, 5))
    points[:, 0] += apart * (np.arange(n) % 2) - apart / 2
    return points.astype(np.float32)


def test_groups_that_both_halves_find_agree_wholly() -> None:
    assert replicability(groups(), by_sign, 15, "euclidean", 0) == 1.0


def test_random_labels_agree_as_far_as_chance() -> None:
    values = [replicability(groups(), at_random, 15, "euclidean", seed) for seed in range(8)]
    assert abs(np.mean(values)) < 0.03


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_one_group_in_each_half_agrees_on_nothing(n: int) -> None:
    whole = groups()[:n]
    assert replicability(whole, lambda points, seed: np.zeros(len(points), np.int32), 15, "euclidean", 0) == 0.0


def test_one_group_in_one_half_is_nothing_either() -> None:
    calls: list[int] = []

    def once(points: Floats, seed: int) -> Labels:
        calls.append(len(points))
        return by_sign(points, seed) if len(calls) == 1 else np.zeros(len(points), np.int32)

    assert replicability(groups(), once, 15, "euclidean", 0) == 0.0
    assert calls == [300, 300]


def test_it_is_what_scikit_learn_makes_of_the_same_halves() -> None:
    points, seed = groups(500, apart=2.0), 3
    order = np.random.RandomState(seed).permutation(500)
    one, other = np.sort(order[:250]), np.sort(order[250:])

    def cut(points: Floats, seed: int) -> Labels:  # each half at its own place
        return (points[:, 0] > np.median(points[:, 0]) / 3).astype(np.int32)

    found = []
    for here, there in ((one, other), (other, one)):
        nearest = KNeighborsClassifier(15).fit(points[here], cut(points[here], 0))
        found.append(adjusted_rand_score(nearest.predict(points[there]), cut(points[there], 0)))
    assert replicability(points, cut, 15, "euclidean", seed) == pytest.approx(np.mean(found), abs=1e-9)


def test_cosines_do_not_see_lengths() -> None:
    rng = np.random.default_rng(1)
    way = np.where(np.arange(400) % 2, 1.0, -1.0)[:, None]
    points = np.hstack([way, rng.normal(scale=0.1, size=(400, 3))]) * rng.uniform(0.01, 100, (400, 1))
    assert replicability(points.astype(np.float32), by_sign, 9, "cosine", 0) == 1.0


def test_far_from_the_origin_is_as_near_it() -> None:
    points = groups(apart=3.0)

    def moved(points: Floats, seed: int) -> Labels:
        return by_sign(points - np.float32(20_000), seed)

    near = replicability(points, by_sign, 15, "euclidean", 0)
    assert replicability(points + np.float32(20_000), moved, 15, "euclidean", 0) == pytest.approx(near, abs=0.02)


def test_of_very_many_cells_a_sample_is_taken() -> None:
    sizes: list[int] = []

    def counted(points: Floats, seed: int) -> Labels:
        sizes.append(len(points))
        return by_sign(points, seed)

    assert replicability(groups(3 * MOST_CELLS), counted, 5, "euclidean", 0) > 0.99
    assert sizes == [MOST_CELLS // 2] * 2
