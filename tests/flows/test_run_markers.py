"""Marker genes in real runs: written beside the result, found again, the same as `cellstrata markers` finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cellstrata.tasks.results.marker_genes import MarkerRequest, write_markers
from cellstrata.tasks.stores.places import Place
from tests.flows.commands.test_command import config
from tests.flows.conftest import Command, Run
from tests.flows.outputs import entries
from tests.tasks.report.reports import Page, parsed

RAW: dict[str, Any] = {"hierarchy": 2, "markers": {"raw": True, "n_genes": 20}}


def table(report: dict[str, Any]) -> pd.DataFrame:
    return pq.read_table(report["markers"]).to_pandas()


@pytest.mark.parametrize("method", ["t-test", "wilcoxon"])
def test_they_are_those_of_the_command(one: Run, pbmc: Path, tmp_path: Path, method: str) -> None:
    report = one(pbmc, {**RAW, "markers": {"raw": True, "n_genes": 20, "method": method}})
    assert report["markers"] == str(Path(report["labels"]).with_name("markers.parquet"))
    mine = table(report)
    assert set(mine["column"]) == set(report["columns"])
    said = json.loads(anndata.read_zarr(report["output"]).uns["clustering"]["markers"])
    how = json.loads(pq.read_schema(report["markers"]).metadata[b"markers"])
    assert said.pop("table") == Path(report["markers"]).name
    assert said == {name: how[name] for name in said}
    assert {*said} == {"method", "against", "layer", "raw", "normalize", "n_genes", "min_cells", "version"}
    request = MarkerRequest(raw=True, n_genes=20, method=method)  # type: ignore[arg-type]
    found = write_markers(Place(report["output"]), request)
    pd.testing.assert_frame_equal(mine, pq.read_table(found.table).to_pandas())


def test_a_second_run_reads_no_values(one: Run, pbmc: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("cellstrata.tasks.inputs.index.RECENT", -1e9)
    first = one(pbmc, RAW, runner="threads", report=True)
    written = Path(first["markers"]).stat().st_mtime_ns
    monkeypatch.setattr(
        "cellstrata.tasks.results.dataset_markers.compare", lambda *_, **__: pytest.fail("values were read again")
    )
    monkeypatch.setattr(
        "cellstrata.tasks.results.dataset_markers.expression_digest", lambda *_: pytest.fail("values were read again")
    )
    again = one(pbmc, RAW, runner="threads", report=True)
    assert Path(again["markers"]).stat().st_mtime_ns == written
    assert again["written"] is False
    elsewhere = one(pbmc, RAW, runner="threads", out="elsewhere", report=True)
    pd.testing.assert_frame_equal(table(elsewhere), table(first))
    pages = [parsed(Path(page["report"]).read_text()) for page in (first, elsewhere)]
    assert pages[0].facts["dots"] == pages[1].facts["dots"]
    assert (pages[0].array("dots/means") == pages[1].array("dots/means")).all()
    assert len(entries(tmp_path, "markers")) == 1


def test_names_of_genes_that_have_changed_are_written(one: Run, pbmc: Path, tmp_path: Path) -> None:
    data = anndata.read_h5ad(pbmc)
    data.write_h5ad(tmp_path / "named.h5ad")
    before = table(one(tmp_path / "named.h5ad", RAW))
    data.raw.var.index = [f"new {name}" for name in data.raw.var_names]
    data.write_h5ad(tmp_path / "named.h5ad")
    report = one(tmp_path / "named.h5ad", RAW, report=True)
    after = table(report)
    assert after["gene"].tolist() == [f"new {gene}" for gene in before["gene"]]
    assert (after["score"] == before["score"]).all()
    assert len(entries(tmp_path, "markers")) == 1
    assert f"new {before['gene'][0]} (" in Path(report["report"]).read_text()


def test_those_of_other_clusters_do_not_stay(one: Run, pbmc: Path) -> None:
    first = one(pbmc, RAW)
    there = Path(first["markers"])
    again = one(pbmc, {"hierarchy": 2, "seed": 3})
    assert "markers" not in again
    assert "markers" not in anndata.read_zarr(again["output"]).uns["clustering"]
    assert not there.exists()
    request = MarkerRequest(raw=True)
    made = Path(write_markers(Place(again["output"]), request).table)
    one(pbmc, {"hierarchy": 2, "seed": 3})
    assert made.exists()  # of this very result
    one(pbmc, {"hierarchy": 2, "seed": 4})
    assert not made.exists()
    there.write_bytes(b"somebody's")
    one(pbmc, {"hierarchy": 2, "seed": 5})
    assert there.read_bytes() == b"somebody's"


def test_what_is_asked_is_in_the_key(one: Run, pbmc: Path, tmp_path: Path) -> None:
    for number, more in enumerate([{}, {"n_genes": 21}, {"against": "all"}, {"min_cells": 40}]):
        one(pbmc, {**RAW, "markers": {**RAW["markers"], **more}})
        assert len(entries(tmp_path, "markers")) == number + 1
    one(pbmc, {**RAW, "resolutions": [1.0]})
    assert len(entries(tmp_path, "markers")) == 5


def test_any_runner_finds_the_same(one: Run, pbmc: Path, tmp_path: Path) -> None:
    first = table(one(pbmc, RAW))
    other = one(pbmc, RAW, out="processes", cache=str(tmp_path / "other"), runner="processes")
    pd.testing.assert_frame_equal(table(other), first)


def test_the_report_shows_them_and_the_cache_keeps_them(one: Run, pbmc: Path, tmp_path: Path) -> None:
    report = one(pbmc, RAW, report=True)
    page = Path(report["report"]).read_text()
    assert "Marker genes, the best first, in raw/X" in page
    best = table(report).query("against == 'all' and rank == 1")
    assert all(f">{gene} (" in page or f", {gene} (" in page for gene in best["gene"])
    _check_dots(parsed(page), anndata.read_zarr(report["output"]))
    (key,) = entries(tmp_path, "markers")
    notes = [json.loads(path.read_text()) for path in (tmp_path / "cache" / "v1" / "datasets").iterdir()]
    assert any(key in note["keys"] for note in notes)


def _check_dots(page: Page, result: anndata.AnnData) -> None:
    """The dots of level 1 are the means and shares of the values themselves."""
    family = page.facts["dots"]["families"][0]
    tree = page.facts["trees"][family["tree"]]
    column = result.obs[tree["columns"][tree["level"][family["clusters"][0]]]].astype(str)
    genes = [page.facts["dots"]["genes"][gene] for gene in family["genes"]]
    values = pd.DataFrame(result.raw[:, genes].X.toarray(), index=column)
    wide = len(family["clusters"]) + 1
    means, shares = (page.array(f"dots/{name}")[: len(genes) * wide].reshape(-1, wide) for name in ("means", "shares"))
    for at, cluster in enumerate(family["clusters"]):
        own = values.loc[tree["label"][cluster]]
        assert means[:, at] / 255 * family["highest"] == pytest.approx(own.mean().to_numpy(), abs=0.02)
        assert shares[:, at] / 255 == pytest.approx((own > 0).mean().to_numpy(), abs=1 / 400)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (True, ["X", "neither counts nor logarithms"]),
        ({"raw": True, "normalize": True}, ["raw/X", "which are logarithms already"]),
        ({"layer": "counts"}, ["layers['counts']", "is not in the file", "raw"]),
    ],
)
def test_wrong_values_are_told_before_any_work(
    pbmc: Path, command: Command, tmp_path: Path, asked: Any, said: list[str]
) -> None:
    done = command("run", config(tmp_path, pbmc, markers=asked))
    assert done.returncode == 2
    for part in [*said, str(pbmc)]:
        assert part in done.stderr
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_the_command_prints_where_they_are(command: Command, pbmc: Path, tmp_path: Path) -> None:
    done = command("run", config(tmp_path, pbmc, markers={"raw": True}), "--runner", "threads")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("markers "))
    assert line.endswith("markers.parquet")
