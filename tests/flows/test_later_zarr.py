"""An input that holds what only a later zarr can read is refused before any work, and says which element it is."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.flows.conftest import Run
from tests.tasks.elements.test_later_zarr import made, of_tomorrow

__all__ = ["made"]  # a fixture


def test_a_run_says_so_before_any_work(made: Path, one: Run, tmp_path: Path) -> None:
    from cellstrata.flows.preparation import UnusableInputs

    of_tomorrow(made, "uns/genes/names", "data_type")
    with pytest.raises(UnusableInputs) as caught:
        one(made, {"neighbors": {"use_rep": "X_latent"}})
    said = str(caught.value)
    assert f"{made}: uns['genes']: cannot be read by zarr {version('zarr')}" in said
    assert "pip install --upgrade zarr" in said
    assert not (tmp_path / "out").exists()
