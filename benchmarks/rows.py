"""Rows of measurements in a JSON file, and what data and labels are called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cellstrata.tasks.results.provenance import versions

KNOWN = ("ann_level_3", "ann_level_4", "cell_type", "level1", "level2")  # obs columns of known labels
TITLES = {"hlca_mesenchyme_36k": "lung", "codex_spleen_158k": "spleen", "zeisel_3005": "brain"}


def runs(text: str) -> int | str:
    """Read a number of runs, or `auto`."""
    return text if text == "auto" else int(text)


def data_title(name: str) -> str:
    """Return what a data set is called in tables and charts."""
    return TITLES.get(name, name)


def write_row(path: Path, part: str, row: Mapping[str, object], names: Sequence[str]) -> None:
    """Put a row of a part in the place of the one that is equal in `names`, and note the versions."""

    def key(one: Mapping[str, object]) -> list[object]:
        return [one.get(name) for name in names]

    document = json.loads(path.read_text()) if path.exists() else {}
    document["versions"] = versions()
    own = document.setdefault(part, [])
    at = next((at for at, other in enumerate(own) if key(other) == key(row)), len(own))
    own[at : at + 1] = [row]
    path.write_text(json.dumps(document, indent=1) + "\n")
