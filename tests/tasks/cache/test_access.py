"""A cache that every user of the machine may write to is named, wherever in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellstrata.flows.commands.command import main
from cellstrata.tasks.cache.access import FOLDERS, open_to_all
from cellstrata.tasks.cache.cache import Cache
from cellstrata.tasks.stores.store import Store
from tests.tasks.small_caches import add_entry, new_cache


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_said_which_folder_is_open(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    cache = new_cache("local", tmp_path)
    add_entry(cache, 1)
    for part in FOLDERS:
        (tmp_path / "cache" / part).chmod(0o775)
    assert open_to_all(cache) is None
    (tmp_path / "cache" / name).chmod(0o1777)  # a sticky bit keeps nobody from adding entries
    said = str(open_to_all(cache))
    assert f"the cache {(tmp_path / 'cache' / name)} (mode 1777)" in said
    assert f"chmod -R o-w {tmp_path / 'cache'}" in said
    assert "every user" in str(open_to_all(Cache(Store(str(tmp_path / "own")), behind=cache.store)))
    assert main(["cache", "info", "--cache", str(tmp_path / "cache")]) == 0
    assert "every user of this machine" in " ".join(capsys.readouterr().err.split())


def test_nothing_is_said_of_what_is_not_there_or_in_a_bucket(tmp_path: Path) -> None:
    assert open_to_all(Cache(Store(str(tmp_path / "none")))) is None
    assert open_to_all(new_cache("memory", tmp_path)) is None
