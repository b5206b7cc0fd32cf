"""`cellstrata collect`, in this process and in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from cellstrata.flows.commands.environment import storage_options
from cellstrata.tasks.publishing.publish import publish
from cellstrata.tasks.stores.places import Place
from tests import ROOT
from tests.tasks.places import opened

CELLS = ["AAA", "AAC", "AAG", "AAT"]


@pytest.fixture
def levels(tmp_path: Path) -> list[str]:
    """Results of three levels, made from one h5ad."""
    source = tmp_path / "in.h5ad"
    ad.AnnData(obs=pd.DataFrame({"donor": pd.Categorical(["001", "01", "1", "1"])}, index=CELLS)).write_h5ad(source)
    urls = []
    for level in (1, 2, 3):
        urls.append(str(tmp_path / f"level{level}.zarr"))
        column = {f"leiden_1.0_{level}": pd.Categorical(["_".join("0" * level)] * 3 + ["_".join("1" * level)])}
        publish(opened(str(source)), Place(urls[-1]), obs=column, obs_kept=() if level > 1 else None)
    return urls


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet", "atlas.zarr"])
def test_levels_become_one(
    levels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["collect", *levels, "--output", f"out/{name}"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "collected  4 columns of 4 cells from 3 results",
        f"output     {tmp_path}/out/{name}",
    ]
    out = tmp_path / "out" / name
    if name.endswith("csv"):
        assert out.read_text() == (
            "obs_name,donor,leiden_1.0_1,leiden_1.0_2,leiden_1.0_3\n"
            "AAA,001,0,0_0,0_0_0\nAAC,01,0,0_0,0_0_0\nAAG,1,0,0_0,0_0_0\nAAT,1,1,1_1,1_1_1\n"
        )
    else:
        obs = pd.read_parquet(out) if name.endswith("parquet") else ad.read_zarr(out).obs
        assert list(obs["donor"]) == ["001", "01", "1", "1"]
        assert list(obs["leiden_1.0_3"]) == ["0_0_0"] * 3 + ["1_1_1"]
    assert main(["collect", *levels, "--output", f"out/{name}"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["collect", *levels, "--output", f"out/{name}", "--overwrite"]) == 0


def test_notices(levels: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.h5ad"
    moved = pd.DataFrame({"donor": pd.Categorical(["A"] * 4)}, index=CELLS[::-1])
    ad.AnnData(obs=moved).write_h5ad(other)
    assert main(["collect", levels[0], str(other), "--output", str(tmp_path / "labels.csv")]) == 0
    said = capsys.readouterr()
    assert "donor@other" in said.err
    assert "another order" in said.err
    assert said.out.startswith("collected  3 columns of 4 cells from 2 results\n")
    assert main(["collect", levels[0], "--output", str(tmp_path / "one.csv")]) == 0
    assert "from 1 result\n" in capsys.readouterr().out


def test_what_is_wrong_is_said_at_once(levels: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.h5ad"
    ad.AnnData(obs=pd.DataFrame(index=CELLS[:3])).write_h5ad(other)
    out = tmp_path / "labels.csv"
    words = [*levels, str(other), str(tmp_path / "absent.zarr"), str(tmp_path / "folder")]
    (tmp_path / "folder").mkdir()
    assert main(["collect", *words, "--output", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 3
    assert "has 3 cells" in lines[0]
    assert "there is no such file" in lines[1]
    assert "no zarr group" in lines[2]
    assert main(["collect", *[str(other)] * 2, *levels * 9, "--output", str(out)]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 10
    assert not out.exists()
    assert main(["collect", *levels, "--output", "labels.txt"]) == 2
    assert ".parquet, .csv, .tsv or .zarr" in capsys.readouterr().err


def test_a_disk_that_fills_up(
    levels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    for failure, said in ((full, "cannot be written: No space left on device"), (broken, "RuntimeError: out of luck")):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failure)
            assert main(["collect", *levels, "--output", str(tmp_path / "out" / "labels.csv")]) == 1
        errors = capsys.readouterr().err
        assert said in errors
        assert "labels.csv" in errors
        assert os.listdir(tmp_path / "out") == []


def test_interrupted(
    levels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cellstrata.tasks.collection.columns.obs_names", interrupt)
    assert main(["collect", *levels, "--output", str(tmp_path / "labels.csv")]) == 130
    assert "nothing was written" in capsys.readouterr().err


def test_storage_options_come_from_the_environment(
    levels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert storage_options({"CELLSTRATA_WORKERS": "nonsense", "OTHER": "1"}) == {}
    assert storage_options({"CELLSTRATA_STORAGE_OPTIONS": "{s3: {anon: true}}"}) == {"s3": {"anon": True}}
    nested = {"CELLSTRATA_STORAGE_OPTIONS__S3__KEY": "k"}
    assert storage_options(nested) == {"s3": {"key": "k"}}
    monkeypatch.setenv("CELLSTRATA_STORAGE_OPTIONS", "{s3: 3}")
    assert main(["collect", *levels, "--output", str(tmp_path / "labels.csv")]) == 2
    assert "s3" in capsys.readouterr().err


def test_prefect_is_not_imported(levels: list[str], tmp_path: Path) -> None:
    program = """
import sys
from cellstrata.flows.commands.command import main
code = main(sys.argv[1:])
assert not [name for name in sys.modules if name.split(".")[0] in ("prefect", "scanpy", "fastapi")]
sys.exit(code)
"""
    words = ["collect", *levels, "--output", str(tmp_path / "labels.parquet")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
