"""`python docs/list_licenses.py docs/licenses.md`: writes the table of licences between the marks of that page.

It tells what the packages of this environment say of themselves: `License-Expression`, else their classifiers, else the
first line of `License`. Run it where `make test` runs, after a dependency was added or changed its licence.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

START, END = "<!-- licenses: begin -->", "<!-- licenses: end -->"
OWN = "cellstrata"
PYTHONS = ("3.11", "3.12", "3.13")
LEFT_OUT = ("dev", "docs")  # extras that nobody needs to cluster cells


def main() -> None:
    """Write the table into the page that is named."""
    page = Path(sys.argv[1])
    before, _, rest = page.read_text().partition(START)
    page.write_text(f"{before}{START}\n{table()}{END}{rest.partition(END)[2]}")


def table() -> str:
    """Return the table: each package, its licence, and the extras that bring it, none for the plain install."""
    extras = [extra for extra in metadata.metadata(OWN).get_all("Provides-Extra", []) if extra not in LEFT_OUT]
    plain, absent = packages(frozenset())
    brought: dict[str, list[str]] = {name: [] for name in plain}
    for extra in extras:
        found, missing = packages(frozenset([extra]))
        absent |= missing
        for name in found - plain:
            brought.setdefault(name, []).append(extra)
    rows = [f"| {name} | {license_of(name)} | {', '.join(brought[name])} |" for name in sorted(brought)]
    lines = ["| package | licence | extras |", "|---|---|---|", *rows]
    if absent:
        lines += ["", f"Not in the environment in which this was written: {', '.join(sorted(absent))}."]
    return "\n".join([*lines, ""])


def packages(extras: frozenset[str]) -> tuple[set[str], set[str]]:
    """Return the names of all packages that the plain install and these extras need, and of those not installed."""
    found: set[str] = set()
    absent: set[str] = set()
    waiting = [(OWN, extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            absent.add(name)
            continue
        found |= {name} - {OWN}
        for text in needed:
            requirement = Requirement(text)
            marker = requirement.marker
            places = [{"extra": extra, "python_version": python} for extra in ("", *wanted) for python in PYTHONS]
            if marker is None or any(marker.evaluate(place) for place in places):
                waiting.append((normal(requirement.name), frozenset(map(normal, requirement.extras))))
    return found, absent


def license_of(name: str) -> str:
    """Return what a package says of its licence."""
    said = metadata.metadata(name)
    named = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License :: ")]
    found = said.get("License-Expression") or "; ".join(one for one in named if one != "OSI Approved")
    found = found or (said.get("License") or "").strip().partition("\n")[0]
    return found.replace("|", "/") or "not said; see its files"


def normal(name: str) -> str:
    """Return a name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
