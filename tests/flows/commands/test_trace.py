"""`cellstrata trace` on the record that a run wrote: all splits are in it, each once, with the process that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cellstrata.flows.commands.command import main
from tests.flows.conftest import Run
from tests.flows.outputs import tree_of

ASKED: dict[str, Any] = {"hierarchy": 2, "ensemble": 1, "neighbors": {"use_rep": "X_latent"}}


def test_a_run_leaves_a_record_and_it_becomes_a_trace(
    one: Run, blobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = one(blobs, ASKED, runner="processes", grain=100)
    out = Path(report["output"]).parents[2]
    record: dict[str, Any] = json.loads((out / "clustering" / "run.json").read_text())
    assert record["result"]["datasets"]["d/f"]["splits"] == report["splits"]
    made = [key for work in record["work"] for key in work["splits"]]
    tree = tree_of(report)
    assert sorted(made) == sorted(set(tree.loc[(tree["key"] != "") & ~tree["from_cache"], "key"]))
    splits = [work for work in record["work"] if work["splits"]]
    steps = [work for work in record["work"] if not work["splits"]]
    assert {work["name"].partition(" · ")[2].partition(" · ")[0] for work in steps} >= {"publish"}
    assert {work["process"] for work in splits}.isdisjoint(
        {work["process"] for work in steps if "publish" in work["name"]}
    )
    assert all(work["asked"] <= work["started"] + 0.01 for work in record["work"])
    assert main(["trace", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{len(record['work'])} pieces of work" in said
    trace = json.loads((out / "clustering" / "run.trace.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in trace) == len(record["work"])
    warm = one(blobs, ASKED, runner="processes", grain=100)
    assert warm["splits"]["executed"] == 0
    again = json.loads((out / "clustering" / "run.json").read_text())
    assert not [key for work in again["work"] for key in work["splits"]]


def test_what_is_no_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path)]) == 2
    assert "there is no such file; name the run.json that a run wrote" in capsys.readouterr().err
    assert main(["trace", str(tmp_path), "--output", str(tmp_path / "trace.txt")]) == 2
    assert "must end in .json" in capsys.readouterr().err
