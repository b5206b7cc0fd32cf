"""Late imports in two threads: whoever needs what another thread is loading waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import ROOT

INTERPRETERS, AT_ONCE = 4, 2
# As anndata is made: the package loads a module of its own, and takes a name from it.
PACKAGE = {
    "__init__.py": "import builtins, time\nbuiltins.begun.set()\ntime.sleep(0.2)\nfrom anndata.io import read_elem\n",
    "io.py": "import anndata.parts\n\ndef read_elem(element):\n    return element\n",
    "parts.py": "import time\ntime.sleep(0.05)\n",
}
# One dataset has computed something, and will publish; another found all in the cache, and reads its input.
RACE = """
import builtins, contextlib, sys, threading
builtins.begun = threading.Event()
from cellstrata.tasks.imports import turns
if sys.argv[1] == "at once":
    turns.IMPORTING = contextlib.nullcontext()
import numpy, zarr
from cellstrata.tasks.elements.reading import read_uns
root = zarr.group()
root.create_group("uns").create_array("key", data=numpy.array([7]))
assert "anndata" not in sys.modules
if sys.argv[1] == "a run":
    from cellstrata.flows.early import load_for_publishing
    loading = load_for_publishing()
else:
    def load():
        with turns.IMPORTING:
            import anndata
    loading = threading.Thread(target=load)
    loading.start()
assert builtins.begun.wait(30)
assert read_uns(root, "key")[0] == 7
loading.join()
assert sys.modules["anndata"].read_elem(7) == 7
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which a small package stands in for anndata."""
    folder = tmp_path / "anndata"
    folder.mkdir()
    for name, text in PACKAGE.items():
        (folder / name).write_text(text)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}


def race(environment: dict[str, str], how: str) -> str:
    """Return what a fresh interpreter says that loads one package in two threads: nothing if that went well."""
    command = [sys.executable, "-c", RACE, how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr


def test_two_threads_that_import_the_same_late_wait_for_each_other(environment: dict[str, str]) -> None:
    kinds = ["a run", *["in turn"] * (INTERPRETERS - 1)]  # what a run needs takes longer to load
    with ThreadPoolExecutor(AT_ONCE) as threads:
        said = list(threads.map(lambda kind: race(environment, kind), kinds))
    assert said == [""] * INTERPRETERS


def test_python_alone_would_let_one_of_them_see_half_a_module(environment: dict[str, str]) -> None:
    """When this fails, `IMPORTING` may be what no supported Python needs any more."""
    said = race(environment, "at once")
    assert "partially initialized module" in said or "deadlock" in said
