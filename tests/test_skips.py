"""A test that is skipped says what would bring it in, so that a fresh machine can be made to run all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

SKIPPING = ("skip", "skipif", "importorskip")
REMEDIES = ("apt-get install ", "npm install ", "pip install ", "make PYTHON=", "run it on ", "run it as ")


def skips(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the reason of each skip; of a reason that is put together, the parts that are written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (name := _skipping(node.func)):
            given = [each.value for each in node.keywords if each.arg == "reason"] + node.args[: name == "skip"]
            parts = [part for each in given for part in ast.walk(each) if isinstance(part, ast.Constant)]
            yield node.lineno, "".join(str(part.value) for part in parts)
        elif isinstance(node, ast.IfExp) and any(_skipping(each) for each in (node.body, node.orelse)):
            yield node.lineno, ""  # called under another name: nothing can be told


def _skipping(node: ast.expr) -> str:
    name = node.attr if isinstance(node, ast.Attribute) else ""
    return name if name in SKIPPING and ast.unparse(node).startswith("pytest.") else ""


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_every_skip_names_its_remedy(path: Path) -> None:
    found = list(skips(path.read_text()))
    assert [f"line {line}: {reason}" for line, reason in found if not any(map(reason.__contains__, REMEDIES))] == []


def test_a_skip_without_a_remedy_is_found() -> None:
    source = """
pytest.skip("x is not installed")
pytest.skip(f"{x} is not installed: apt-get install {x}")
pytest.importorskip("x")
pytest.importorskip("x", reason="pip install x")
pytest.mark.skipif(a, reason="no x here")
end = pytest.fail if a else pytest.skip
"""
    assert [line for line, reason in skips(source) if not any(map(reason.__contains__, REMEDIES))] == [2, 4, 6, 7]
