"""What is written must not lie in what is read; names do not lead out of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cellstrata.configs import ConfigError, RunConfig
from cellstrata.tasks.inputs.overlaps import conflicts

CLUSTERING = {"algorithm": "leiden", "resolutions": [0.5]}


def config(inputs: dict[str, Any], **places: str) -> RunConfig:
    datasets = {name: {"input": {"clustering": given}, "clustering": CLUSTERING} for name, given in inputs.items()}
    return RunConfig(**{"output_dir": "out", "cache": "cache", **places}, DATASETS=datasets)


def test_places_apart_are_fine(tmp_path: Path) -> None:
    inputs = {"a": {"f": "in/a.zarr", "g": "in/b.zarr"}, "b": {"f": "in/a.zarr"}}
    assert conflicts(config(inputs, output_dir="in/out")) == []


@pytest.mark.parametrize("head", ["", "s3://lab/"])
def test_places_in_one_another(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    of_a = f"{head}out/clustering/dataset~a/file_id~f.zarr"
    out = {"output_dir": f"{head}out"}
    cases: list[tuple[dict[str, Any], dict[str, str], str]] = [
        ({"a": {"f": f"{head}x.zarr"}, "b": {"f": of_a}}, out, "the result of a/f would be written into"),
        ({"a": {"f": f"{head}x.zarr"}}, out | {"cache": f"{head}x.zarr/cache"}, "`cache` lies in the input"),
        ({"a": {"f": f"{head}x.zarr"}}, out | {"images": f"{head}x.zarr/obs"}, "`images` lies in the input"),
        ({"a": {"f": f"{head}x.zarr"}}, out | {"cache": f"{of_a}/cache"}, "cache: lies in the result of a/f"),
    ]
    for inputs, places, said in cases:
        (problem,) = conflicts(config(inputs, **places))
        assert said in problem


def test_two_results_in_one_place_by_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "out/clustering"
    (folder / "dataset~a").mkdir(parents=True)
    (folder / "dataset~b").symlink_to("dataset~a")
    (problem,) = conflicts(config({"a": {"f": "x.h5ad"}, "b": {"f": "y.h5ad"}}, output_dir=str(tmp_path / "out")))
    assert "as that of a/f" in problem


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc", "..", ".", "", "a\0b", "a\\b", "a/b"])
def test_names_do_not_lead_out_of_their_folder(name: str) -> None:
    with pytest.raises(ConfigError):
        config({name: "x.h5ad"})
    with pytest.raises(ConfigError):
        config({"a": {name: "x.h5ad"}})
