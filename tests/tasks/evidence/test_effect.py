"""Purity by the weights of edges, separation in standard deviations."""

from __future__ import annotations

import numpy as np
import pytest

from cellstrata.tasks.evidence.effect import FAR, purity, separation
from cellstrata.tasks.kernels.graph import Graph


def test_purity_is_the_share_of_weights_within() -> None:
    edges = np.array([[0, 1], [1, 2], [2, 3]], np.int32)
    graph = Graph(4, edges, np.array([1.0, 0.5, 0.25], np.float32))
    assert purity(graph, np.array([0, 0, 1, 1], np.int32)) == (pytest.approx(2 / 2.5), pytest.approx(0.5 / 1.0))


def test_a_cluster_without_edges_is_pure() -> None:
    graph = Graph(3, np.array([[0, 1]], np.int32), np.ones(1, np.float32))
    assert purity(graph, np.array([0, 0, 1], np.int32)) == (1.0, 1.0)


def test_separation_is_cohens_d_from_the_nearest() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 20_000)
    points = rng.normal(size=(60_000, 4))
    points[:, 0] += np.array([0, 4, 100])[labels]
    points[labels == 1, 1:] *= 7  # at a right angle to the line between the middles
    assert separation(points.astype(np.float32), labels) == pytest.approx((4, 4, 96), rel=0.02)


def test_without_extent_it_is_far_and_alone_it_is_nothing() -> None:
    points = np.array([[0.0], [0.0], [1.0]], np.float32)
    assert separation(points, np.array([0, 0, 1], np.int32)) == (FAR, FAR)
    assert separation(points, np.zeros(3, np.int32)) == (0.0,)
    assert separation(np.zeros((3, 1), np.float32), np.array([0, 0, 1], np.int32)) == (0.0, 0.0)
