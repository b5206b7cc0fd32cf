"""By what a run and a worker on another machine know that they hold the same code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cellstrata.tasks.workers.remote import code_digest, digest_of_code
from tests import ROOT

IMPORTED = ("configs", "tasks")  # by workers
ROOMS = sorted(
    {path.parent.relative_to(ROOT).as_posix() for name in IMPORTED for path in (ROOT / name).rglob("__init__.py")}
)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What workers may import, as it is in an installed package: no links. Who changes it changes it back."""
    folder = tmp_path_factory.mktemp("installed")
    for name in IMPORTED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_an_installed_package_and_a_checkout_have_the_same_digest(copied: Path) -> None:
    assert digest_of_code(copied) == code_digest()


def test_there_are_rooms_to_check() -> None:
    assert {"configs", "configs/migration", "tasks/kernels", "tasks/trees", "tasks/report"} <= set(ROOMS)
    assert len(ROOMS) >= 18


@pytest.mark.parametrize("room", ROOMS)
def test_a_change_in_any_room_changes_the_digest(copied: Path, room: str) -> None:
    path = max((copied / room).glob("*.py"))  # any
    text = path.read_text()
    path.write_text(text + "\n")
    assert digest_of_code(copied) != code_digest()
    path.write_text(text)


def test_a_file_that_is_moved_changes_the_digest(copied: Path) -> None:
    here, there = copied / "tasks" / "trees" / "split.py", copied / "tasks" / "split.py"
    here.rename(there)
    assert digest_of_code(copied) != code_digest()
    there.rename(here)


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no code of cellstrata"):
        digest_of_code(tmp_path)
