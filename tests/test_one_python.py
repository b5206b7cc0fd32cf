"""What runs on one Python alone is about no library of data, or has another that runs on both in its place."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT
from tests.one_python import ONCE, runs_once
from tests.test_architecture import FILES, imports, module_of

LIBRARIES = {"anndata", "h5py", "mudata", "pandas", "scanpy", "spatialdata", "treedata", "zarr"}
imported = cache(imports)  # each file is asked for by many
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def address(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def libraries(path: Path) -> set[str]:
    """The libraries of data that a file imports."""
    return {name.partition(".")[0] for name in imported(path)} & LIBRARIES


@cache
def reached(path: Path) -> frozenset[Path]:
    """A file of tests, and those of tests that it imports, and so on."""
    found, ahead = set[Path](), [path]
    while ahead:
        at = ahead.pop()
        if at not in found:
            found.add(at)
            named = [ROOT / f"{name.replace('.', '/')}.py" for name in imported(at) if name.startswith("tests.")]
            ahead += [file for file in named if file.exists()]
    return frozenset(found)


def whole_files(*marks: str) -> set[Path]:
    """Files of tests all of which are marked so."""
    marked = set()
    for path in TESTS:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                marked |= {path for mark in marks if f"pytest.mark.{mark}" in ast.unparse(node.value)}
    return marked


@cache
def of_data() -> frozenset[str]:
    """Modules of the package that import a library of data."""
    return frozenset(module_of(path) for path in FILES if libraries(path))


def tried_by(paths: set[Path]) -> set[str]:
    """Modules that read or write data and are imported by these tests, or by what they import of tests."""
    return of_data() & {name for path in paths for file in reached(path) for name in imported(file)}


ONLY_ONCE = {path for path in TESTS if runs_once(address(path))} | whole_files("processes")


@pytest.mark.parametrize("entry", ONCE)
def test_what_is_listed_is_there_and_has_another_in_its_place(entry: str) -> None:
    name, _, function = entry.partition("::")
    assert (ROOT / name).exists()
    assert not function or f"\ndef {function}(" in (ROOT / name).read_text()
    beside = ONCE[entry]
    for other in beside:
        assert ROOT / other in set(TESTS) - ONLY_ONCE, f"{other} does not run on both"
    if not beside:
        files = [ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py"))
        assert not {library for file in files for each in reached(file) for library in libraries(each)}


@pytest.mark.parametrize("entry", [entry for entry in ONCE if "::" not in entry])
def test_the_modules_of_data_that_it_imports_are_imported_by_those_in_its_place(entry: str) -> None:
    files = [ROOT / entry] if entry.endswith(".py") else sorted((ROOT / entry).rglob("test_*.py"))
    own = of_data() & {name for file in files for name in imported(file)}
    assert own - {name for other in ONCE[entry] for name in imported(ROOT / other)} == set()


def test_every_module_that_reads_or_writes_data_is_tried_on_both() -> None:
    assert len(of_data()) > 60
    assert tried_by(ONLY_ONCE), "else there is nothing to hold"
    assert tried_by(ONLY_ONCE) - tried_by(set(TESTS) - ONLY_ONCE) == set()


def test_an_entry_is_a_folder_a_file_or_a_function() -> None:
    assert runs_once("tests/configs/form/test_x.py::test_y[1-a/b::c]")
    assert runs_once("tests/flows/test_launch.py::test_any")
    listed = next(entry for entry in ONCE if "::" in entry)
    assert runs_once(f"{listed}[zarr]")
    assert not runs_once(f"{listed}_and_more")
    assert not runs_once(listed.partition("::")[0])
    assert not runs_once("tests/configs_of_others/test_x.py::test_y")


def test_what_is_listed_is_marked(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert (item.get_closest_marker("once") is not None) == runs_once(item.nodeid), item.nodeid
