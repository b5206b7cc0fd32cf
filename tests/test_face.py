"""`import cellstrata` costs next to nothing, and what it offers is there, typed and described."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import tomllib

import pytest

import cellstrata
from tests import ROOT

LOADED = "print(*sorted(name.partition('.')[0] for name in set(sys.modules) - before))"


def loaded_by(code: str) -> list[str]:
    """Return the top-level names of all modules that `code` loads into a fresh Python."""
    whole = f"import sys\nbefore = set(sys.modules)\n{code}\n{LOADED}"
    result = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True, check=True, timeout=60)
    return result.stdout.splitlines()[-1].split()


def test_importing_the_package_loads_itself_and_little_of_python() -> None:
    loaded = loaded_by("import cellstrata")
    assert loaded.count("cellstrata") == 1
    assert {name for name in loaded if name not in sys.stdlib_module_names} == {"cellstrata"}
    assert len(loaded) <= 40  # 30, on Python 3.11


def test_the_version_is_printed_without_anything_heavy() -> None:
    loaded = loaded_by(
        "from cellstrata.flows.commands.command import main\ntry:\n    main(['--version'])\nexcept SystemExit: pass"
    )
    assert {name for name in loaded if name not in sys.stdlib_module_names} == {"cellstrata"}
    assert loaded.count("cellstrata") <= 12
    command = [sys.executable, "-m", "cellstrata.flows.commands.command", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert said == f"cellstrata {cellstrata.__version__}\n"
    command = [sys.executable, "-m", "cellstrata", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == said
    assert cellstrata.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("name", sorted({*cellstrata.__all__} - {"__version__"}))
def test_what_is_offered_is_there_and_described(name: str) -> None:
    found = getattr(cellstrata, name)
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        doc = inspect.getdoc(found) or ""
        for section in ("Parameters\n---", "Returns\n---", "Raises\n---"):
            assert section in doc, f"{name} has no section {section.split()[0]}"
        for parameter in inspect.signature(found).parameters:
            assert f"\n{parameter}\n    " in doc, f"{name} does not describe {parameter}"


def test_types_and_lazy_names_are_the_same() -> None:
    tree = ast.parse((ROOT / "src" / "cellstrata" / "__init__.py").read_text())
    typed = {
        alias.name: (node.module or "").removeprefix("cellstrata.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cellstrata.")
        for alias in node.names
    }
    assert typed == cellstrata._MODULES
    assert set(cellstrata.__all__) == {*typed, "__version__"} == set(dir(cellstrata))


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'open_link'"):
        cellstrata.open_link  # noqa: B018
