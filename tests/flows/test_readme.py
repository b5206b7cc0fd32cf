"""The README's tour, as it stands there, on what `make demo` leaves."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import ROOT
from tests.flows.commands.test_command import cellstrata

TOUR = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    """The code blocks of the tour in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", TOUR, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The words of each command that the tour calls, in order."""
    return [shlex.split(line)[2:] for text in blocks("console") for line in text.splitlines() if line.startswith("$ ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `make demo` leaves, and an empty cache."""
    from cellstrata.flows.commands.demo import write_demo

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))
    write_demo("cellstrata-demo")
    return tmp_path


def test_the_tour_runs_as_it_is_written(folder: Path, server: str) -> None:
    first, change = blocks("yaml")
    run, explain, plan = commands()
    Path("atlas.yaml").write_text(first)

    ran = cellstrata(*run, server=server)
    assert ran.returncode == 0, ran.stderr
    shown = blocks("console")[0]
    for kind in ("result", "labels", "report", "index"):
        told = re.search(rf"^{kind} +(.*)$", shown, re.MULTILINE)
        assert told is not None
        assert f"{kind:<8}{told[1].replace('/home/you', str(folder))}" in ran.stdout
    told_row, row = (re.search(r"blood/cells +9 +(\d+ to \d+) +[\d.]+ +(\d+) +(\d+)\n", t) for t in (shown, ran.stdout))
    assert told_row is not None
    assert row is not None
    assert told_row[1] == row[1]
    # a cluster of two resolutions that has the same cells is split once, or twice at the same moment
    assert int(told_row[2]) + int(told_row[3]) == int(row[2]) + int(row[3])

    (python,) = blocks("python")
    script = python.replace("tree.query", "print(tree.query") + "['n_cells'].tolist())\n"
    called = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert re.fullmatch(r"\[\d+\]\n", called.stdout), called.stderr

    told = cellstrata(*explain, server=server)
    assert told.returncode == 0, told.stderr
    assert "level 2  1_0:" in told.stdout

    changed = yaml.safe_load(first)
    changed["DATASETS"]["blood"]["clustering"] |= yaml.safe_load(change)
    Path("atlas.yaml").write_text(yaml.safe_dump(changed))
    planned = cellstrata(*plan, server=server)
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"leiden 0.5 +2 +1 .*1 not asked for", planned.stdout)
    assert re.search(r"about \d+ s of work", planned.stdout)
    again = cellstrata(*run, server=server)
    assert again.returncode == 0, again.stderr
