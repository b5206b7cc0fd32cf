"""`cellstrata compare` on what `cluster` wrote and on tables: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cellstrata.flows.commands.command import main
from tests.tasks.small_results import labels, result

Compare = Callable[..., tuple[int, str, str]]
NAMES = [f"cell{i}" for i in range(6)]
COLUMNS = {"leiden_0.5_1": labels("0", "0", "1", "1", "1", None), "cell_type": labels("B", "B", "T", "T", "B", "T")}


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """`cellstrata compare` in this process: its exit code, and what it printed to stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["compare", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_two_columns_of_a_result(compare: Compare, tmp_path: Path) -> None:
    path = result(tmp_path, "r", COLUMNS)
    outputs = ("--html", "p.html", "--figure", "p.png", "--cells", "cells.parquet")
    code, out, err = compare(path, "--columns", "leiden_0.5_1,cell_type", *outputs)
    assert code == 0, err
    assert "1 cells are left out: 1 have no value in leiden_0.5_1" in err
    assert out.splitlines()[1].split() == ["leiden_0.5_1", "and", "cell_type", "5", "0.167", "0.433", "0.433", "0.433",
                                           "0.600"]  # fmt: skip
    assert out.splitlines()[-3:] == [f"html    {tmp_path / 'p.html'}", f"figure  {tmp_path / 'p.png'}",
                                     f"cells   {tmp_path / 'cells.parquet'}"]  # fmt: skip
    cells = pd.read_parquet("cells.parquet")["leiden_0.5_1~cell_type"]
    assert cells.index.tolist() == NAMES
    assert cells.tolist()[:5] == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2 / 3, 1 / 3])
    assert pd.isna(cells.iloc[5])
    assert "<svg" in (tmp_path / "p.html").read_text()

    code, _, err = compare(path, "--columns", "leiden_0.5_1", "cell_type", *outputs[:4])
    assert code == 2
    assert f"{tmp_path / 'p.html'}: exists; choose another name, or replace it with --overwrite" in err
    assert f"{tmp_path / 'p.png'}: exists" in err
    assert compare(path, "--columns", "leiden_0.5_1", "cell_type", "--overwrite", *outputs)[0] == 0


def test_two_results_as_json(compare: Compare, tmp_path: Path) -> None:
    old = result(tmp_path, "old", COLUMNS)
    new = result(tmp_path, "new", {"leiden_0.5_1": labels(*"112200")}, [*NAMES[1:], "new"])
    code, out, err = compare(old, new, "--json")
    assert code == 0, err
    assert "5 cells are compared; 1 of the first and 1 of the second are in one alone" in err
    found = json.loads(out)
    assert found["cells"] == {"shared": 5, "only_first": 1, "only_second": 1}
    (pair,) = found["pairs"]
    assert pair["first"] == {"file": old, "column": "leiden_0.5_1"}
    assert pair["left_out"] == {"only_first": 1, "only_second": 0, "both": 0}
    assert pair["contingency"] == [["0", "1", 1], ["1", "1", 1], ["1", "2", 2]]
    assert pair["groups_of_first"][1] == {
        "group": "1", "cells": 3, "compared": 3, "best": "2", "shared": 2, "jaccard": 2 / 3,
        "element_centric": pytest.approx((2 * 2 / 3 + 1 / 3) / 3),
    }  # fmt: skip
    assert pair["groups_of_second"][0] == {
        "group": "0", "cells": 1, "compared": 0, "best": None, "shared": 0, "jaccard": 0.0, "element_centric": None,
    }  # fmt: skip
    code, out, err = compare(old, new)
    assert code == 0, err
    assert "leiden_0.5_1 of old and new" in out
    assert f"old     {old}" in out


def test_nothing_is_written_where_something_is_wrong(compare: Compare, tmp_path: Path) -> None:
    path = result(tmp_path, "r", COLUMNS | {"third": labels(*"aabbcc")})
    code, out, err = compare(path, "--columns", "leiden_0.5_1", "type", "--html", "p.html")
    assert (code, out) == (2, "")
    assert "column 'type': there is no such column; did you mean `cell_type`?" in err
    code, _, err = compare(path, "--columns", "third", "cell_type", "--html", "p.htm", "--figure", f"{path}/f.png")
    assert code == 2
    assert "p.htm: must end in .html" in err
    assert "lies in it or holds it" in err
    code, _, err = compare(path, "--columns", *COLUMNS, "third", "--figure", "p.svg", "--html", "p.html")
    assert code == 2
    assert "3 pairs of columns are compared, and a figure shows one; name two columns" in err
    assert sorted(each.name for each in tmp_path.iterdir()) == [Path(path).name]
