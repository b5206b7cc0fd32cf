"""The page of licences names whatever the project asks for by name; what these need in turn it names too."""

from __future__ import annotations

import re
import tomllib

from packaging.requirements import Requirement

from tests import ROOT


def test_every_dependency_is_in_the_list_of_licences() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: needed for name, needed in project["optional-dependencies"].items() if name not in ("dev", "docs")}
    asked = [Requirement(text) for text in [*project["dependencies"], *(one for all in extras.values() for one in all)]]
    names = {re.sub(r"[-_.]+", "-", one.name).lower() for one in asked} - {"cellstrata"}
    page = (ROOT / "docs" / "licenses.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| (.+?) \|", page, re.M))
    absent = page.partition("was written: ")[2]
    assert {name for name in names if name not in rows and name not in absent} == set(), "docs/list_licenses.py"
    assert len(rows) > 130  # with what these need
    assert (rows["igraph"], rows["zarr"]) == ("GNU General Public License (GPL)", "MIT")
