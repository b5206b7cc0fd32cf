"""Reports as runs leave them: beside the results, once, and never at a run's cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Run
from tests.tasks.report.reports import parsed

SETTINGS = {"algorithm": "leiden", "resolutions": [0.5], "hierarchy": 2, "neighbors": {"use_rep": "X_latent"},
            "umap_colors": ["group"]}  # fmt: skip


def config(folder: Path, data: Path, **more: Any) -> dict[str, Any]:
    datasets = {"d": {"input": {"clustering": {"f": str(data)}}, "clustering": SETTINGS}}
    return {
        "output_dir": str(folder / "out"),
        "cache": str(folder / "cache"),
        "figures": False,
        "report": True,
        "DATASETS": datasets,
        **more,
    }


def test_a_run_leaves_a_report_and_an_index_and_the_next_leaves_them_alone(
    run: Run, blobs: Path, tmp_path: Path
) -> None:
    asked = config(tmp_path, blobs, images=str(tmp_path / "figures"))
    first = run(**asked)
    report = first["datasets"]["d/f"]
    assert report["report"] == str(tmp_path / "figures/clustering/dataset~d/file_id~f/report.html")
    assert first["index"] == str(tmp_path / "figures/index.html")
    page, index = Path(report["report"]).read_text(), Path(first["index"]).read_text()
    assert "clustering/dataset~d/file_id~f/report.html" in [a.get("href") for _, a in parsed(index).tags]
    facts = parsed(page).facts
    assert facts["trees"][0]["columns"] == report["columns"]
    assert facts["view"]["title"] == "First two dimensions of X_latent"
    assert f"{report['splits']['executed']} computed, 0 from the cache" in page

    again = run(**asked)
    assert again["datasets"]["d/f"]["splits"]["executed"] == 0
    assert (again["datasets"]["d/f"]["report_written"], again["index_written"]) == (False, False)
    assert Path(report["report"]).read_text() == page
    assert Path(first["index"]).read_text() == index

    without = run(**{**asked, "report": False})
    assert not without["datasets"]["d/f"]["written"]  # whether there is a report changes no result
    assert not {"report", "index"} & {*without["datasets"]["d/f"], *without}


def test_a_report_in_a_bucket(run: Run, blobs: Path, tmp_path: Path) -> None:
    import fsspec

    found = run(**config(tmp_path, blobs, images="memory://atlas/images"))
    memory = fsspec.filesystem("memory")
    name = "memory://atlas/images/clustering/dataset~d/file_id~f/report.html"
    assert found["datasets"]["d/f"]["report"] == name
    assert parsed(memory.cat_file(name)).facts["cells"] == 2400
    assert b'href="clustering/dataset~d/file_id~f/report.html"' in memory.cat_file("memory://atlas/images/index.html")
    again = run(**config(tmp_path, blobs, images="memory://atlas/images"))
    assert not again["datasets"]["d/f"]["report_written"]


def test_a_report_that_cannot_be_written_is_one_warning(run: Run, blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    found = run(**config(tmp_path, blobs, images=str(tmp_path / "figures")))
    report = found["datasets"]["d/f"]
    assert "error" not in report
    assert Path(report["labels"]).is_file()
    assert [notice for notice in report["notices"] if "no report was written" in notice]
    assert "no index" in found["notices"][0]


def test_the_index_names_what_failed(run: Run, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cellstrata.flows import growth

    monkeypatch.setattr(growth, "tree_plans", lambda *_: 1 / 0)
    found = run(**config(tmp_path, blobs))
    assert "division by zero" in found["datasets"]["d/f"]["error"]
    text = "".join(parsed(Path(found["index"]).read_text()).text)
    assert "1 dataset, 1 failed" in text
    assert "division by zero" in text
