"""One odd entry of obsm bars nothing but itself; an unknown filter in a bucket is found before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cellstrata.configs.clustering import ClusteringConfig
from cellstrata.tasks.inputs.inspection import Input, inspect_input
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.tasks.elements.test_hdf5_filters import UNKNOWN, written
from tests.tasks.small import cache_at


def inspected(url: str, folder: Path, **settings: Any) -> tuple[Input | None, list[str]]:
    config = ClusteringConfig.model_validate({"algorithm": "leiden", "resolutions": [0.5], **settings})
    return inspect_input("d", "f", Place(url), config, str(folder / "out"), cache_at(folder / "cache"))


def test_an_odd_entry_of_obsm_is_named_and_bars_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5ad", {})
    with h5py.File(path, "r+") as file:
        file["obsm/theirs/2d"] = np.zeros((4, 2))  # as a `/` in a name leaves it
        file["obsm"].create_group("strange").attrs["encoding-type"] = "of the future"
    found, problems = inspected(str(path), tmp_path, hierarchy=2)
    assert problems == []
    assert found is not None
    (said,) = [notice for notice in found.notices if "cannot be told" in notice]
    assert "'strange', 'theirs'" in said
    for name in ("strange", "theirs"):
        found, problems = inspected(str(path), tmp_path, hierarchy=2, neighbors={"use_rep": name})
        assert found is None
        assert len(problems) == 1
        assert f"obsm[{name!r}]: is an element of an unknown encoding" in problems[0]


@pytest.mark.parametrize(("name", "shown"), [("layers/counts", "layers['counts']"), ("X/data", "X")])
def test_an_unknown_filter_in_a_bucket_is_found_on_inspection(name: str, shown: str, s3: str, tmp_path: Path) -> None:
    for what, made in (("bad", {name: {"compression": UNKNOWN, "allow_unknown_filter": True}}), ("good", {})):
        Store.at(s3).write(f"{what}.h5ad", written(tmp_path / f"{what}.h5ad", made).read_bytes())
    assert inspected(f"{s3}/good.h5ad", tmp_path)[1] == []
    found, problems = inspected(f"{s3}/bad.h5ad", tmp_path)
    assert found is None
    assert len(problems) == 1
    assert f"{shown}: is compressed by the HDF5 filter {UNKNOWN}, which is not known here" in problems[0]
