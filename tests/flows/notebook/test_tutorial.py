"""The page on notebooks: its blocks run as they stand, one after the other, and give what it says."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: pip install matplotlib")


def test_every_line_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLSTRATA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    blocks = BLOCK.findall((ROOT / "docs" / "notebook.md").read_text())
    assert len(blocks) > 5
    names: dict[str, Any] = {}
    shown: list[Any] = []
    for number, block in enumerate(blocks):
        for node in ast.parse(block).body:
            code = ast.unparse(node)
            if isinstance(node, ast.Expr):
                shown.append(eval(compile(code, f"block {number}", "eval"), names))
            else:
                exec(compile(code, f"block {number}", "exec"), names)
    pyplot.close("all")
    adata = names["adata"]
    assert (tmp_path / "tree.png").stat().st_size > 10_000
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert adata.uns["clustering"]["tree"]["replicability"].notna().any()
    assert {"leiden_0.5_2", "fine_leiden_0.5_3", "own_leiden_0.5_2"} < set(adata.obs)
    assert set(names["best"]["against"]) == {"sisters"}
    assert sum(hasattr(each, "figure") for each in shown) == 6
    own = adata.uns["own"]["tree"].set_index("cluster")["reason"]
    assert own["1_0"] == "last level"
    assert own["1"] == "not asked for"
    first = "\n".join(blocks[:5])
    assert len([line for line in first.splitlines() if line.strip()]) <= 20, "it is to be short"


def test_the_notebook_is_the_page() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_notebook.py"))["notebook"](
        (ROOT / "docs" / "notebook.md").read_text()
    )
    assert made == json.loads((ROOT / "docs" / "notebook.ipynb").read_text()), "run python docs/make_notebook.py"
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == [block.strip("\n") for block in BLOCK.findall((ROOT / "docs" / "notebook.md").read_text())]
    assert not [cell for cell in made["cells"] if "](" in "".join(cell["source"])], "a link leads out of it"
