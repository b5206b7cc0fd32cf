"""The cloud without groups has the cells' mean and covariance, and nothing else of them."""

from __future__ import annotations

import numpy as np
import pytest

from cellstrata.tasks.evidence.null_cloud import Floats, null_clouds


def null_cloud(points: Floats, n_cells: int, seed: int) -> Floats:
    (cloud,) = null_clouds(points, n_cells, [seed])
    return cloud


def test_it_has_the_mean_and_the_covariance() -> None:
    rng = np.random.default_rng(0)
    points = (rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 6)) + 50).astype(np.float32)
    cloud = null_cloud(points, 200_000, 1)
    assert cloud.shape == (200_000, 6)
    assert cloud.dtype == np.float32
    np.testing.assert_allclose(cloud.mean(0), points.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(cloud.T), np.cov(points.T), rtol=0.05, atol=0.1)


def test_two_far_groups_become_one() -> None:
    points = np.vstack([np.full((500, 1), -5), np.full((500, 1), 5)]).astype(np.float32)
    middle = np.abs(null_cloud(points, 20_000, 0)) < 2.5
    assert middle.mean() == pytest.approx(0.383, abs=0.02)  # of a normal of deviation 5, within half of one


@pytest.mark.parametrize("points", [np.ones((40, 3)), np.ones((1, 3)), np.arange(40)[:, None] * np.array([1, 2, 0])])
def test_a_singular_covariance_is_no_fault(points: np.ndarray) -> None:
    cloud = null_cloud(points.astype(np.float32), 500, 0)
    assert np.isfinite(cloud).all()
    assert (cloud[:, 2] == points[0, 2]).all()
    np.testing.assert_allclose(cloud[:, 1] - points[0, 1], (points[0, 1] == 0) * 2 * cloud[:, 0], atol=1e-4)


def test_a_seed_draws_the_same_again() -> None:
    points = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert (null_cloud(points, 60, 5) == null_cloud(points, 60, 5)).all()
    assert (null_cloud(points, 60, 5) != null_cloud(points, 60, 6)).any()
