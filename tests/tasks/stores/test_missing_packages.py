"""What is said where a package is missing, or a folder takes nothing: the remedy, not `check the URL`."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cellstrata.tasks.elements.kinds import look
from cellstrata.tasks.stores.data_errors import DataError
from cellstrata.tasks.stores.missing_packages import EXTRAS, missing_package
from cellstrata.tasks.stores.places import Place
from cellstrata.tasks.stores.write_access import unusable


@pytest.mark.parametrize(("protocol", "package", "extra"), [(name, *of) for name, of in EXTRAS.items()])
def test_each_protocol_names_its_extra(
    protocol: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{protocol}://bucket/x.h5ad"
    error = ImportError(f"Install {package}")
    error.__cause__ = ModuleNotFoundError(f"No module named {package!r}", name=package)
    assert missing_package(url, error) == f"needs {package}, which is not installed: pip install 'cellstrata[{extra}]'"
    error.__cause__ = ModuleNotFoundError("No module named 'deeper'", name="deeper")
    assert "cannot be imported (No module named 'deeper')" in str(missing_package(url, error))
    assert missing_package(url, ValueError("Protocol not known")) is None


def test_the_extras_are_those_of_the_package() -> None:
    import tomllib

    from tests import ROOT

    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, extra in EXTRAS.values():
        assert any(each.startswith(package) for each in known[extra])


def test_an_input_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.setitem(sys.modules, "fsspec.implementations.http", None)
    for protocol in ("http", "https"):  # another test may have had fsspec load them
        monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, protocol, raising=False)
    with pytest.raises(DataError) as caught:
        look(Place("https://127.0.0.1:9/never-asked.h5ad"))
    assert "pip install 'cellstrata[http]'" in str(caught.value)
    assert "check the URL" not in str(caught.value)


def test_a_folder_that_takes_nothing_is_found_before_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unusable(Place(str(tmp_path / "new" / "deeper"))) is None
    assert list(tmp_path.iterdir()) == []

    def refuse(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    said = unusable(Place(str(tmp_path / "new")))
    assert said == f"nothing can be written to the folder {tmp_path} (No such file or directory)"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc: run it on Linux")
def test_proc_is_no_output() -> None:
    assert "/proc" in str(unusable(Place("/proc/nope")))


def test_an_error_that_says_nothing_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage packages that are too old for their SDK raise errors without a word."""

    def silent(*_: Any, **__: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr("cellstrata.tasks.stores.store.Store.at", silent)
    assert unusable(Place("az://lab/out")) == "az://lab/out cannot be reached (NotImplementedError)"
