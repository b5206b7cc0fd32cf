"""The rules of the house: which package may import which, no circles, no vague names, small rooms."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from tests import ROOT

PACKAGES = ("configs", "tasks", "flows")
# From the ground up: a room imports what stands on a lower floor, and nothing else of ours.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("configs", "tasks.imports"),
    ("configs.form", "configs.loading", "tasks.stores", "tasks.kernels", "tasks.markers"),
    ("configs.migration", "tasks.cache", "tasks.evidence", "tasks.overlays"),
    ("tasks.elements", "tasks.trees", "tasks.cache_care"),
    ("tasks.inputs", "tasks.advice", "tasks.publishing", "tasks.colours", "tasks.workers", "tasks.expression"),
    ("tasks.branches", "tasks.results", "tasks.evaluation"),
    (
        "tasks.figures",
        "tasks.report",
        "tasks.forecast",
        "tasks.collection",
        "tasks.curation",
        "tasks.matching",
        "tasks.exports",
        "tasks.timeline",
    ),
    ("flows.executors", "flows.server", "flows.monitor", "flows.options"),
    ("flows",),
    ("flows.commands", "flows.notebook"),
)
MOST_FLOORS, MOST_LINES = 10, 3_000  # of all, and of a room
ROOMS = {room: number for number, floor in enumerate(FLOORS) for room in floor}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    """Return what a file is called when it is imported."""
    return ".".join(("cellstrata", *path.relative_to(ROOT).with_suffix("").parts))


def imports(path: Path) -> set[str]:
    """Return what a file imports, within its functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{path}: a relative import")
    return found


def room_of(name: str) -> str | None:
    """Return `configs`, `tasks` or `flows` for a module of ours, None for any other."""
    parts = name.split(".")
    return parts[1] if parts[0] == "cellstrata" and len(parts) > 1 and parts[1] in PACKAGES else None


def test_there_is_something_to_check() -> None:
    assert len(FILES) > 200
    assert sum(room_of(name) is not None for path in FILES for name in imports(path)) > 1000


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_left(path: Path) -> None:
    package = module_of(path).split(".")[1]
    right = PACKAGES[PACKAGES.index(package) + 1 :]
    assert not {name for name in imports(path) if room_of(name) in right}
    assert not {name for name in imports(path) if name.split(".")[0] in PACKAGES}, "not by the folder's name"
    if package == "tasks":
        assert not {name for name in imports(path) if name.split(".")[0] == "prefect"}


def package_of(name: str) -> str:
    """Return the room, `tasks.stores`, of a module of ours."""
    parts = name.removeprefix("cellstrata.").split(".")
    return ".".join(parts[: max(n for n in range(len(parts) + 1) if n == 0 or ".".join(parts[:n]) in ROOMS)])


def test_every_room_has_a_floor_and_a_face() -> None:
    folders = {path.parent for path in FILES if path.parent.name not in ("tasks", "configs", "flows")}
    rooms = {".".join(folder.relative_to(ROOT).parts) for folder in folders} | {"configs", "flows"}
    assert rooms == set(ROOMS)
    assert len(FLOORS) <= MOST_FLOORS
    for room in rooms:
        text = (ROOT / room.replace(".", "/") / "__init__.py").read_text()
        said = ast.get_docstring(ast.parse(text)) or ""
        assert said.count("\n") >= 2, f"{room} does not say what is inside"
        begin = re.search(r"Start with `(\w+)(?:\.(\w+))?`", said)
        assert begin is not None, f"{room} does not say where to begin"
        file = ROOT / room.replace(".", "/") / f"{begin[1]}.py"
        assert file.is_file(), f"{room} begins with {file}, which is not there"
        defined = {getattr(node, "name", "") for node in ast.parse(file.read_text()).body}
        assert not begin[2] or begin[2] in defined, f"{file} has no {begin[2]}"
        line = said.partition("Imports from this project: ")[2]
        files = [path for path in FILES if package_of(module_of(path)) == room and path.stem != "__init__"]
        used = {package_of(name) for path in files for name in imports(path) if room_of(name)} - {room, ""}
        whole = "what is below" in line or "everything" in line
        unnamed = {other for other in used if not re.search(rf"\b{other.rpartition('.')[2]}\b", line)}
        assert whole or not unnamed, f"{room} does not say that it imports {sorted(unnamed)}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_is_below_them(room: str) -> None:
    files = [path for path in FILES if package_of(module_of(path)) == room and path.stem != "__init__"]
    found = {package_of(name) for path in files for name in imports(path) if room_of(name)} - {room, ""}
    assert {other for other in found if ROOMS[other] >= ROOMS[room]} == set()
    assert sum(len(path.read_text().splitlines()) for path in files) <= MOST_LINES
    assert files


def test_no_circles() -> None:
    modules = {module_of(path): path for path in FILES}
    edges = {name: {other for other in imports(path) if other in modules} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def test_rooms_are_small_and_named_for_what_they_hold() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 350, path
        assert path.stem not in ("util", "utils", "helper", "helpers", "misc", "common", "manager")
    beside = {package: len(list((ROOT / package).glob("*.py"))) for package in PACKAGES}
    assert max(beside.values()) <= 30, beside


def late_imports(path: Path) -> set[tuple[int, bool]]:
    """Return the lines of a file that import within a function, and whether that waits for its turn."""
    found: set[tuple[int, bool]] = set()

    def visit(node: ast.AST, within: bool, in_turn: bool) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            within = True
        elif isinstance(node, ast.With):
            in_turn = in_turn or any(ast.unparse(item.context_expr) == "IMPORTING" for item in node.items)
        elif within and (name := imported_by(node)) and name.partition(".")[0] not in sys.stdlib_module_names:
            found.add((node.lineno, in_turn))  # type: ignore[attr-defined]
        for child in ast.iter_child_nodes(node):
            visit(child, within, in_turn)

    visit(ast.parse(path.read_text()), False, False)
    return found


def imported_by(node: ast.AST) -> str | None:
    """Return what a statement or a call imports, as far as it says so."""
    if isinstance(node, ast.Import):
        return node.names[0].name
    if isinstance(node, ast.ImportFrom):
        return node.module
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
        return ast.unparse(node.args[0])
    return None


def test_imports_of_functions_that_threads_call_take_turns() -> None:
    """A run's threads share `tasks` and `flows`; a command, and Prefect's server, begin in the main thread."""
    threaded = [path for path in FILES if room_of(module_of(path)) != "configs"]
    threaded = [path for path in threaded if package_of(module_of(path)) not in ("flows.commands", "flows.server")]
    late = {(module_of(path), *found) for path in threaded for found in late_imports(path)}
    assert len(late) > 70
    assert {(module, line) for module, line, in_turn in late if not in_turn} == set()


def test_only_the_store_touches_fsspec() -> None:
    users = {path.name for path in FILES if any(name.split(".")[0] == "fsspec" for name in imports(path))}
    assert users == {"store.py"}


def test_the_deployment_names_a_flow_that_is_there() -> None:
    import yaml

    from cellstrata.configs import RunConfig

    document = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    for deployment in document["deployments"]:
        path, flow = deployment["entrypoint"].split(":")
        tree = ast.parse((ROOT / path).read_text())
        assert flow in {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
        RunConfig(**deployment["parameters"]["config"])


def test_the_documentation_has_the_table_of_keys() -> None:
    from cellstrata.configs.form.reference import END, START, reference_table

    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text.partition(START)[2].partition(END)[0] == reference_table()


def test_the_page_on_the_design_shows_the_floors_and_names_files_that_are_there() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    drawn: dict[str, int] = {}
    floor = 0
    for line in text.split("```")[1].splitlines()[1:]:
        number, room = line[:3].strip(), line[3:].split()[0]
        floor = int(number) if number else floor
        drawn[room.replace("/", ".")] = floor
    assert drawn == ROOMS
    named = {name for name in re.findall(r"`([^`\s]+/[^`\s]+\.(?:py|md|toml))`", text) if "NAME" not in name}
    assert len(named) > 30
    assert {name for name in named if not (ROOT / name).exists()} == set()
