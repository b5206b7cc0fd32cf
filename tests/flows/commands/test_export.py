"""`cellstrata export` on what `cluster` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellstrata.flows.commands.command import main
from cellstrata.flows.options.results_parser import EXPORT_EPILOG
from cellstrata.flows.options.results_parser import FORMATS as OFFERED
from cellstrata.tasks.exports.formats import FORMATS
from tests.flows.conftest import Cluster
from tests.flows.planted import OPTIONS, write


def test_a_result_is_exported_under_its_own_name(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster(write(tmp_path), "l1.zarr", *OPTIONS)[0] == 0
    assert main(["export", "l1.zarr", "--to", "newick"]) == 0
    out = capsys.readouterr().out
    assert "exported  1 tree: leiden_0.1, of 182 cells" in out
    assert f"output    {tmp_path / 'l1.nwk'}" in out
    assert (tmp_path / "l1.nwk").read_text() == "(0:1,1:1,2:1)leiden_0.1;\n"
    assert main(["export", "l1.zarr", "--to", "newick"]) == 2
    assert "l1.nwk: exists; choose another name\n" in capsys.readouterr().err
    assert main(["export", "l1.zarr", "--to", "csv", "--output", "x.csv", "--columns", "cloud"]) == 2
    assert "obs['cloud']: is no column of clusters; there is leiden_0.1_1" in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_the_parser_offers_the_formats_that_there_are() -> None:
    assert sorted(OFFERED) == sorted(FORMATS)
    for name, form in FORMATS.items():
        assert name in EXPORT_EPILOG
        assert form.endings[0] in EXPORT_EPILOG or name in ("h5ad", "csv", "tsv", "parquet")
