"""`cellstrata curate` on what `cluster` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellstrata.flows.commands.command import main
from tests.flows.conftest import Cluster
from tests.flows.planted import OPTIONS, write
from tests.tasks.everything import load

TEXT = """
curator: Jane
columns:
  leiden_0.1_1:
    merge: [[0, 2]]
    clusters: {0: {name: "[T] cell", ontology: "CL:0000084"}, 1: B cell}
"""


def test_a_curation_is_checked_then_written(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster(write(tmp_path), "l1.zarr", *OPTIONS)[0] == 0
    (tmp_path / "c.yaml").write_text(TEXT)
    assert main(["curate", "l1.zarr", "c.yaml"]) == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()[1:3]] == [["0,", "2", "132", "[T]", "cell", "CL:0000084"],
                                                               ["1", "50", "B", "cell"]]  # fmt: skip
    assert "the curation fits; --output writes the names" in out
    assert main(["curate", "l1.zarr", "c.yaml", "--output", "atlas.h5ad"]) == 0
    assert f"result  {tmp_path / 'atlas.h5ad'}" in capsys.readouterr().out
    assert load("atlas.h5ad").obs["leiden_0.1_1_name"].value_counts().to_dict() == {"[T] cell": 132, "B cell": 50}

    (tmp_path / "c.yaml").write_text(TEXT.replace("1: B", "7: B"))
    assert main(["curate", "l1.zarr", "c.yaml", "--output", "next.zarr"]) == 2
    err = capsys.readouterr().err
    assert f"error: {tmp_path / 'c.yaml'}: 2 problems" in err
    assert "columns.\"leiden_0.1_1\".clusters.7 (line 6): leiden_0.1_1 has no cluster '7'; there is 0, 1, 2" in err
    assert "1 of 3 clusters have no name: 1; name them, or write `unnamed: keep` for their ids" in err
    assert not (tmp_path / "next.zarr").exists()
    assert main(["curate", "c.yaml", "c.yaml"]) == 2
