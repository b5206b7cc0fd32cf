"""Tests marked `gpu` run where there is one; elsewhere they are skipped, and `REQUIRE_GPU=1` fails them."""

from __future__ import annotations

import os

import pytest

from cellstrata.tasks.kernels.gpu import gpu_status


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test that needs a GPU, with the reason why there is none."""
    if item.get_closest_marker("gpu") is None:
        return
    status = gpu_status()
    if not status.available:
        said = f"no GPU: {status.reason}"
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail(said)
        pytest.skip(f"{said}; it needs a machine with an NVIDIA GPU, and pip install '.[gpu-cu13]'")
