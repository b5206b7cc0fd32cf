"""Every command on results that refer to their input, in a bucket of a real S3 endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cellstrata.tasks.elements.linked_anndata import open_linked
from cellstrata.tasks.elements.opening import kind_of
from cellstrata.tasks.overlays.document import DOCUMENT
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.store import Store
from tests.flows.conftest import Cluster
from tests.tasks.everything import assert_kept, load


def call(*arguments: str) -> int:
    from cellstrata.flows.commands.command import main

    return main(list(arguments))


def test_level_by_level_over_a_bucket(
    cluster: Cluster, forms: dict[str, Path], s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, one, two = f"{s3}/in.h5ad", f"{s3}/one.zarr", f"{s3}/two.zarr"
    Store.at(source).write("", forms["h5ad"].read_bytes())
    assert cluster(source, one, "--resolution", "0.8")[0] == 0
    assert kind_of(Place(one)) == "overlay"
    code, said = cluster(one, two, "--resolution", "0.5", "--level", "2")
    assert code == 0, said
    assert kind_of(Place(two)) == "overlay"
    named = {entry["url"] for entry in json.loads(Store.at(two).read(DOCUMENT))["cellstrata"]["sources"]}
    assert source in named
    assert call("collect", one, two, "--output", f"{s3}/both.zarr") == 0
    assert call("explain", f"{s3}/both.zarr", "--cluster", "0_0", "--column", "leiden_0.8_2") == 0
    assert "leiden_0.8_2  cluster 0_0" in capsys.readouterr().out
    assert call("materialize", f"{s3}/both.zarr", "both.zarr") == 0
    assert "objects" in capsys.readouterr().out
    assert call("materialize", f"{s3}/both.zarr", "both.zarr") == 2
    assert "--overwrite" in capsys.readouterr().err

    # the same on a local disk, by conversion and links
    assert cluster(forms["h5ad"], "one.zarr", "--resolution", "0.8")[0] == 0
    assert cluster("one.zarr", "two.zarr", "--resolution", "0.5", "--level", "2")[0] == 0
    whole, before = load(str(tmp_path / "both.zarr")), load(str(forms["h5ad"]))
    for local, column in (("one.zarr", "leiden_0.8_1"), ("two.zarr", "leiden_0.8_2")):
        assert list(load(str(tmp_path / local)).obs[column]) == list(whole.obs[column])
    before.obs = before.obs[[]]
    assert_kept(before, whole, {"obs": ["leiden_0.8_1", "leiden_0.8_2"], "uns": ["clustering"]})

    Store.at(source).write("", forms["h5ad"].read_bytes() + b"more")
    assert cluster(one, f"{s3}/three.zarr", "--resolution", "0.4", "--level", "2")[0] == 2
    assert call("materialize", one, "gone.zarr") == 2
    assert "in.h5ad, which has changed since" in capsys.readouterr().err
    assert not (tmp_path / "gone.zarr").exists()


def test_a_link_that_cannot_be_is_refused_before_any_work(forms: dict[str, Path], tmp_path: Path) -> None:
    from cellstrata.configs import RunConfig
    from cellstrata.flows.preparation import UnusableInputs, prepare
    from cellstrata.flows.run import Run

    datasets = {"d": {"input": {"clustering": {"f": str(forms["h5ad"])}}, "clustering": {"algorithm": "leiden"}}}
    datasets["d"]["clustering"]["resolutions"] = [0.5]
    places = {"output_dir": str(tmp_path / "out"), "cache": str(tmp_path / "cache")}
    with pytest.raises(UnusableInputs, match=r"d/f: link: .* can be linked only as a zarr folder"):
        prepare(Run(RunConfig(DATASETS=datasets, link="symlink", **places)))
    assert list(prepare(Run(RunConfig(DATASETS=datasets, link="reference", **places)))) == ["d/f"]


def test_prune_removes_what_runs_left_beside_results(
    cluster: Cluster,
    forms: dict[str, Path],
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = f"{s3}/out.zarr"
    assert cluster(forms["h5ad"], out, "--resolution", "0.8")[0] == 0
    place = Store.at(out)
    left = "own~" + "e" * 32
    place.write(f"{left}/new.zarr/.zgroup", b"{}")
    prune = ("cache", "prune", "--older_than", "30d", "--json")

    def removed(*more: str) -> int:
        assert call(*prune, *more) == 0
        return int(json.loads(capsys.readouterr().out)["removed"]["beside_results"]["count"])

    assert removed() == 0  # a run may be writing it
    monkeypatch.setattr("cellstrata.tasks.overlays.own_folders.BEING_WRITTEN", -1.0)
    assert removed("--dry_run") == 1
    assert removed() == 1
    assert left not in place.list()
    assert "leiden_0.8_1" in open_linked(out).obs
